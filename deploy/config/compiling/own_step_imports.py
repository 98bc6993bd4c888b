"""What a file of the operator's own steps imports, against what transform's bundle holds.

On the operator's machine the whole checkout and all its packages are at hand; where it is deployed they are not, and a
revision that cannot import ends at its start.
"""

import sys
from collections.abc import Iterator
from typing import Final

from deploy.config.imports import imported_modules

_LEFT_BEHIND: Final = ("deploy", "functions", "tests", "shared.cloud")
RULE: Final = "a file of steps imports the standard library, pydantic, `shared` and `functions.transform`"


def left_behind(source: str) -> Iterator[str]:
    """Of modules of the checkout that are not in transform's bundle, what that breaks."""
    for name in _imported(source):
        if _is_in(name, _LEFT_BEHIND) and not _is_in(name, ("functions.transform",)):
            yield f"imports {name!r}, which transform's bundle does not hold: {RULE}"


def not_sure(source: str) -> Iterator[str]:
    """Of packages that the bundle may lack, or lose when another step of the configuration goes."""
    for root in dict.fromkeys(name.partition(".")[0] for name in _imported(source)):
        if not _is_in(root, ("pydantic", "typing_extensions", "shared", *_LEFT_BEHIND, *sys.stdlib_module_names)):
            yield f"imports {root!r}, which transform's bundle holds only where something else needs it: {RULE}"


def _imported(source: str) -> list[str]:
    """Modules, each once, without the names that are in them."""
    found = dict.fromkeys(name for name in imported_modules(source) if name not in ("functions", "shared"))
    return [name for name in found if not any(_is_in(name, (other,)) for other in found if other != name)]


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
