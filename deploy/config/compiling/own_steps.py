"""The operator's own steps: reading the files of `steps_from`, and checking what they import.

The operator's machine has the whole checkout and all packages. A deployed bundle does not, and a revision with a
missing import fails at its start.
"""

import sys
from collections.abc import Iterator
from typing import Final

from deploy.config.config_file import ConfigFile
from deploy.config.faults import Fault, unreadable
from deploy.config.imports import imported_modules
from functions.transform.families import StepClasses
from functions.transform.own_steps import OwnStepsFault, load_own_steps
from shared.jsontext import Json

SECTION = "steps_from"


def own_step_sources(file: ConfigFile, names: Json) -> dict[str, str]:
    """Return the text of each readable file, by its name."""
    sources = {}
    for name in names if isinstance(names, list) else []:
        text = _text(file, name)
        if isinstance(name, str) and text is not None:
            sources[name] = text
    return sources


def own_steps(file: ConfigFile, names: Json) -> tuple[StepClasses, list[Fault]]:
    faults = list(_unreadable(file, names))
    sources = own_step_sources(file, names)
    try:
        models = load_own_steps(sources)
    except OwnStepsFault as fault:
        return {}, [*faults, Fault(file.line((SECTION,)), SECTION, str(fault))]
    faults += [_fault(file, name, rule) for name, source in sources.items() for rule in imports_left_behind(source)]
    return models, faults


def own_step_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports. A step with `extras` names its packages itself. The configuration has no faults."""
    document = file.document if isinstance(file.document, dict) else {}
    for name, source in own_step_sources(file, document.get(SECTION)).items():
        if not any(getattr(model, "extras", ()) for model in load_own_steps({name: source}).values()):
            yield from (_fault(file, name, rule) for rule in uncertain_imports(source))


def _fault(file: ConfigFile, name: str, rule: str) -> Fault:
    return Fault(file.line((SECTION,)), SECTION, f"{name}: {rule}")


def _unreadable(file: ConfigFile, names: Json) -> Iterator[Fault]:
    for position, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str) and _text(file, name) is None:
            yield Fault(file.line((SECTION, position)), SECTION, unreadable(name))


def _text(file: ConfigFile, name: Json) -> str | None:
    try:
        return (file.folder / str(name)).read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name with a NUL in it
        return None


_LEFT_BEHIND: Final = ("deploy", "functions", "tests", "shared.cloud")
RULE: Final = "a file of steps imports the standard library, pydantic, `shared` and `functions.transform`"


def imports_left_behind(source: str) -> Iterator[str]:
    """Yield a rule for each import from the checkout that transform's bundle does not contain."""
    for name in _imported(source):
        if _is_in(name, _LEFT_BEHIND) and not _is_in(name, ("functions.transform",)):
            yield f"imports {name!r}, which transform's bundle does not contain: {RULE}"


def uncertain_imports(source: str) -> Iterator[str]:
    """Yield a rule for each package that the bundle may lack, or lose when another step is removed."""
    for root in dict.fromkeys(name.partition(".")[0] for name in _imported(source)):
        if not _is_in(root, ("pydantic", "typing_extensions", "shared", *_LEFT_BEHIND, *sys.stdlib_module_names)):
            yield f"imports {root!r}, which transform's bundle contains only if something else needs it: {RULE}"


def _imported(source: str) -> list[str]:
    """Return the imported modules, each once, without the names that are imported from them."""
    found = dict.fromkeys(name for name in imported_modules(source) if name not in ("functions", "shared"))
    return [name for name in found if not any(_is_in(name, (other,)) for other in found if other != name)]


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
