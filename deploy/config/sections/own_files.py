"""The operator's own Python files: reading those that a section names, and checking what they import.

The operator's machine has the whole checkout and all packages. A deployed bundle does not, and a revision with a
missing import fails at its start.
"""

import ast
import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.config.config_file import ConfigFile, Fault, unreadable
from functions.notify.own_kinds import OwnKinds, load_own_kinds
from functions.transform.step_classes import StepClasses, load_own_steps
from shared import jsontext, own_modules

_LEFT_BEHIND: Final = ("deploy", "functions", "tests", "shared.cloud")


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The files that one section of the configuration lists, which `function` runs."""

    section: str
    function: str

    def sources(self, file: ConfigFile) -> dict[str, str]:
        """Return the text of each readable file, by its name."""
        texts = {name: _text(file, name) for name in self._names(file)}
        return {name: text for name, text in texts.items() if text is not None}

    def unreadable(self, file: ConfigFile) -> Iterator[Fault]:
        for name in self._names(file):
            if _text(file, name) is None:
                position = self._names(file).index(name)
                yield Fault(file.line((self.section, position)), self.section, unreadable(name))

    def fault(self, file: ConfigFile, rule: str) -> Fault:
        return Fault(file.line((self.section,)), self.section, rule)

    def imports_left_behind(self, file: ConfigFile, sources: Mapping[str, str]) -> Iterator[Fault]:
        """Yield a fault for each import from the checkout that the function's bundle does not contain."""
        for name, source in sources.items():
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

    def _names(self, file: ConfigFile) -> list[str]:
        return [str(name) for name in jsontext.list_at(file.document, self.section)]

    @property
    def _rule(self) -> str:
        return f"such a file imports the standard library, pydantic, `shared` and `functions.{self.function}`"


STEPS_SECTION: Final = "steps_from"
STEP_FILES: Final = OwnFiles(STEPS_SECTION, "transform")
KINDS_SECTION: Final = "destinations_from"
KIND_FILES: Final = OwnFiles(KINDS_SECTION, "notify")


def own_steps(file: ConfigFile) -> tuple[StepClasses, list[Fault]]:
    """Return the steps that the files define, none if there is a fault in one; and the faults."""
    faults = list(STEP_FILES.unreadable(file))
    sources = STEP_FILES.sources(file)
    try:
        steps = load_own_steps(sources)
    except own_modules.OwnModuleFault as fault:
        return {}, [*faults, STEP_FILES.fault(file, str(fault))]
    return steps, [*faults, *STEP_FILES.imports_left_behind(file, sources)]


def own_step_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports. A step with `extras` names its packages itself. The configuration has no faults."""
    for name, source in STEP_FILES.sources(file).items():
        if not any(getattr(model, "extras", ()) for model in load_own_steps({name: source}).values()):
            yield from STEP_FILES.uncertain_imports(file, name, source)


def own_kinds(file: ConfigFile) -> OwnKinds:
    """Return the kinds of the files; none if there is a fault in one."""
    try:
        return load_own_kinds(KIND_FILES.sources(file))
    except own_modules.OwnModuleFault:
        return {}


def own_kind_faults(file: ConfigFile) -> Iterator[Fault]:
    yield from KIND_FILES.unreadable(file)
    sources = KIND_FILES.sources(file)
    try:
        load_own_kinds(sources)
    except own_modules.OwnModuleFault as fault:
        yield KIND_FILES.fault(file, str(fault))
    else:
        yield from KIND_FILES.imports_left_behind(file, sources)


def own_kind_warnings(file: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports. `Settings` with `extras` name the packages. The configuration has no faults."""
    sources = KIND_FILES.sources(file)
    for (name, source), module in zip(sources.items(), load_own_kinds(sources).values(), strict=True):
        if not getattr(module.Settings, "extras", ()):
            yield from KIND_FILES.uncertain_imports(file, name, source)


def _text(file: ConfigFile, name: str) -> str | None:
    try:
        return (file.folder / name).read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name with a NUL in it
        return None


def _imported(source: str) -> list[str]:
    """Return the imported modules, each once, without the names that are imported from them."""
    modules = dict.fromkeys(name for name in imported_modules(source) if name not in ("functions", "shared"))
    return [name for name in modules if not any(_is_in(name, (other,)) for other in modules if other != name)]


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@functools.lru_cache(maxsize=2_048)
def imported_modules(source: str) -> tuple[str, ...]:
    """Return every module that an import statement may mean: for `from a import b`, both `a` and `a.b`."""
    return tuple(_modules_in(ast.parse(source).body))


def _modules_in(statements: Iterable[ast.AST]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _modules_in(getattr(node, block, ()))
