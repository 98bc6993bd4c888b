"""The operator's own Python files: steps and kinds of destinations, and the faults in them.

The section `steps_from: [my_steps/loyalty.py]` lists files that define steps, and `destinations_from` lists files that
define kinds of destinations. Their imports are checked here: the operator's machine has the whole checkout and all
packages, but a function's bundle does not, and a deployed function with a missing import fails at its start.
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

_NOT_BUNDLED: Final = ("deploy", "functions", "tests", "shared.cloud")
"""Packages of the checkout of which a bundle holds nothing, or only its own function's part."""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The files that one section of the configuration lists. `function` is the function that runs them."""

    section: str
    function: str

    def sources(self, config: ConfigFile) -> dict[str, str]:
        """Return the text of each readable file, by its name."""
        texts = {name: _text(config, name) for name in self._names(config)}
        return {name: text for name, text in texts.items() if text is not None}

    def unreadable(self, config: ConfigFile) -> Iterator[Fault]:
        for position, name in enumerate(self._names(config)):
            if _text(config, name) is None:
                yield Fault(config.line((self.section, position)), self.section, unreadable(name))

    def fault(self, config: ConfigFile, rule: str) -> Fault:
        return Fault(config.line((self.section,)), self.section, rule)

    def unbundled_imports(self, config: ConfigFile, sources: Mapping[str, str]) -> Iterator[Fault]:
        """Yield a fault for each import from the checkout that the function's bundle does not contain."""
        for name, source in sources.items():
            for module in _imported(source):
                if _is_in(module, _NOT_BUNDLED) and not _is_in(module, (f"functions.{self.function}",)):
                    rule = f"imports {module!r}, which {self.function}'s bundle does not contain: {self._rule}"
                    yield self.fault(config, f"{name}: {rule}")

    def uncertain_imports(self, config: ConfigFile, name: str, source: str) -> Iterator[Fault]:
        """Yield a fault for each package that the bundle may lack, or lose when something else is removed."""
        certain = {"pydantic", "typing_extensions", "shared", *sys.stdlib_module_names}
        for root in dict.fromkeys(module.partition(".")[0] for module in _imported(source)):
            if root not in certain and root not in _NOT_BUNDLED:  # `unbundled_imports` reports the latter
                rule = f"imports {root!r}, which {self.function}'s bundle contains only if something else needs it"
                yield self.fault(config, f"{name}: {rule}: {self._rule}")

    def _names(self, config: ConfigFile) -> list[str]:
        return [str(name) for name in jsontext.list_at(config.document, self.section)]

    @property
    def _rule(self) -> str:
        return f"such a file imports the standard library, pydantic, `shared` and `functions.{self.function}`"


STEPS_SECTION: Final = "steps_from"
STEP_FILES: Final = OwnFiles(STEPS_SECTION, "transform")
KINDS_SECTION: Final = "destinations_from"
KIND_FILES: Final = OwnFiles(KINDS_SECTION, "notify")


def own_steps(config: ConfigFile) -> tuple[StepClasses, list[Fault]]:
    """Return the steps that the files define, or none if one file is at fault; and the faults."""
    faults = list(STEP_FILES.unreadable(config))
    sources = STEP_FILES.sources(config)
    try:
        steps = load_own_steps(sources)
    except own_modules.OwnModuleFault as fault:
        return {}, [*faults, STEP_FILES.fault(config, str(fault))]
    return steps, [*faults, *STEP_FILES.unbundled_imports(config, sources)]


def own_step_warnings(config: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports, unless a step in the file lists its packages in `extras`.

    Call it only for a configuration without faults.
    """
    for name, source in STEP_FILES.sources(config).items():
        if not any(getattr(model, "extras", ()) for model in load_own_steps({name: source}).values()):
            yield from STEP_FILES.uncertain_imports(config, name, source)


def own_kinds(config: ConfigFile) -> OwnKinds:
    """Return the kinds that the files define, or none if one file is at fault: `own_kind_faults` yields the fault."""
    try:
        return load_own_kinds(KIND_FILES.sources(config))
    except own_modules.OwnModuleFault:
        return {}


def own_kind_faults(config: ConfigFile) -> Iterator[Fault]:
    yield from KIND_FILES.unreadable(config)
    sources = KIND_FILES.sources(config)
    try:
        load_own_kinds(sources)
    except own_modules.OwnModuleFault as fault:
        yield KIND_FILES.fault(config, str(fault))
    else:
        yield from KIND_FILES.unbundled_imports(config, sources)


def own_kind_warnings(config: ConfigFile) -> Iterator[Fault]:
    """Yield warnings about imports, unless the kind's `Settings` list its packages in `extras`.

    Call it only for a configuration without faults.
    """
    sources = KIND_FILES.sources(config)
    for (name, source), module in zip(sources.items(), load_own_kinds(sources).values(), strict=True):
        if not getattr(module.Settings, "extras", ()):
            yield from KIND_FILES.uncertain_imports(config, name, source)


def _text(config: ConfigFile, name: str) -> str | None:
    try:
        return (config.folder / name).read_text(encoding="utf-8")
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name with a NUL in it
        return None


def _imported(source: str) -> list[str]:
    """Return the imported modules, each once. Of `from a.b import c`, only `a.b`, because `c` may be no module.

    `functions` and `shared` are left out, so that `from functions import notify` counts as `functions.notify`.
    """
    modules = dict.fromkeys(name for name in imported_modules(source) if name not in ("functions", "shared"))
    return [name for name in modules if not any(name.startswith(f"{other}.") for other in modules)]


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@functools.lru_cache(maxsize=2_048)
def imported_modules(source: str) -> tuple[str, ...]:
    """Return every module that an import statement may mean: for `from a import b`, both `a` and `a.b`."""
    return tuple(_modules_in(ast.parse(source).body))


def _modules_in(statements: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the modules that the statements import, also those inside a function, a `try` or another block."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _modules_in(getattr(node, block, ()))
