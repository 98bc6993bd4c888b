"""The operator's own Python files: reading those that a section names, and checking what they import.

The operator's machine has the whole checkout and all packages. A deployed bundle does not, and a revision with a
missing import fails at its start.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault, unreadable
from deploy.config.imported_modules import imported_modules
from shared.jsontext import Json

_LEFT_BEHIND: Final = ("deploy", "functions", "tests", "shared.cloud")


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The files of one section of the configuration, which `function` runs."""

    section: str
    function: str

    def sources(self, file: ConfigFile, names: Json) -> dict[str, str]:
        """Return the text of each readable file, by its name."""
        sources = {}
        for name in names if isinstance(names, list) else []:
            text = _text(file, name)
            if isinstance(name, str) and text is not None:
                sources[name] = text
        return sources

    def unreadable(self, file: ConfigFile, names: Json) -> Iterator[Fault]:
        for position, name in enumerate(names if isinstance(names, list) else []):
            if isinstance(name, str) and _text(file, name) is None:
                yield Fault(file.line((self.section, position)), self.section, unreadable(name))

    def fault(self, file: ConfigFile, rule: str) -> Fault:
        return Fault(file.line((self.section,)), self.section, rule)

    def imports_left_behind(self, file: ConfigFile, name: str, source: str) -> Iterator[Fault]:
        """Yield a fault for each import from the checkout that the function's bundle does not contain."""
        for module in _imported(source):
            if _is_in(module, _LEFT_BEHIND) and not _is_in(module, (f"functions.{self.function}",)):
                rule = f"imports {module!r}, which {self.function}'s bundle does not contain: {self._rule}"
                yield self.fault(file, f"{name}: {rule}")

    def uncertain_imports(self, file: ConfigFile, name: str, source: str) -> Iterator[Fault]:
        """Yield a fault for each package that the bundle may lack, or lose when something else is removed."""
        contained = ("pydantic", "typing_extensions", "shared", *_LEFT_BEHIND, *sys.stdlib_module_names)
        for root in dict.fromkeys(module.partition(".")[0] for module in _imported(source)):
            if not _is_in(root, contained):
                rule = f"imports {root!r}, which {self.function}'s bundle contains only if something else needs it"
                yield self.fault(file, f"{name}: {rule}: {self._rule}")

    @property
    def _rule(self) -> str:
        return f"such a file imports the standard library, pydantic, `shared` and `functions.{self.function}`"


def _text(file: ConfigFile, name: Json) -> str | None:
    try:
        return (file.folder / str(name)).read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name with a NUL in it
        return None


def _imported(source: str) -> list[str]:
    """Return the imported modules, each once, without the names that are imported from them."""
    found = dict.fromkeys(name for name in imported_modules(source) if name not in ("functions", "shared"))
    return [name for name in found if not any(_is_in(name, (other,)) for other in found if other != name)]


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
