"""Transform's slice, read: its routes, its named chains, and the steps in them.

A chain is written as `[{name: settings}, …]`. Settings are verified, except for those of a compiled configuration,
which were verified when it was compiled. The built-in steps are in the modules of `functions.transform.steps`, the
families; a process imports only those that its configuration names. An operator's own steps are Python files, carried
as text in the slice. The operator is trusted: their code runs as the built-in steps do.
"""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeAlias

from functions.transform import steps as step_families
from functions.transform.chain import Chain, NamedChains, OnError
from functions.transform.routes import Route, Routes, TypeGlobs
from functions.transform.step import MAX_STEPS, NamedStep, Settings, SettingsFault, Step, build, step_name
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, kind_of, objects_at, to_json
from shared.own_modules import OwnModuleFault, own_module, own_sources, place_in_own_module
from shared.settings import SliceFault

if TYPE_CHECKING:
    from shared.expressions import Expression

StepClasses: TypeAlias = Mapping[str, type[Step]]

NO_OWN_STEPS: Final[StepClasses] = {}
_ON_ERROR: Final[dict[Json, OnError]] = {"continue": "continue", "drop": "drop"}
_PATH_FIRST: Final = frozenset({"cast", "rename"})
_KIND_RULES: Final = frozenset({"must be a mapping", "must be a list", "must be text"})
_CLASS: Final = re.compile(r"^class ([A-Za-z]\w*)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """The content of transform's slice.

    own         the operator's own steps
    type_words  for each configured source, how many words of its events' types a log may hold
    """

    routes: Routes
    chains: NamedChains
    own: StepClasses
    type_words: Mapping[str, int] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """True if any step needs services."""
        return any(chain.asks for chain in self._all_chains())

    @property
    def asks_others(self) -> bool:
        """True if any step waits for another system."""
        return any(chain.asks_others for chain in self._all_chains())

    def _all_chains(self) -> list[Chain]:
        named_chains = [Chain("", steps, self.chains) for steps in self.chains.values()]
        return [*named_chains, *(route.chain for route in self.routes)]


def read_program(configuration: JsonObject, *, is_compiled: bool = False) -> Program:
    """Return the program. Of a compiled one, settings are not verified again. Raises SliceFault with every fault."""
    try:
        own = load_own_steps(own_sources(configuration.get("own_steps")))
    except OwnModuleFault as fault:
        raise SliceFault("invalid_slice", str(fault)) from fault
    chains: NamedChains = {}
    faults: list[str] = []
    if configuration.get("chains"):
        read = read_chains(configuration.get("chains"), own, is_compiled=is_compiled)
        chains, faults = read.chains, [f"chain {name!r}: {fault}" for name, fault in read.faults]
    routes = [_route(entry, own, chains, faults, is_compiled) for entry in objects_at(configuration, "routes")]
    if faults:
        raise SliceFault("invalid_slice", "; ".join(faults))
    return Program(Routes(routes), chains, own, _numbers(configuration.get("sources")))


def _route(entry: JsonObject, own: StepClasses, chains: NamedChains, faults: list[str], is_compiled: bool) -> Route:
    name = str(entry.get("name"))
    steps, step_faults = read_chain(entry.get("steps"), own, is_compiled=is_compiled)
    where, where_fault = _where(entry.get("where"))
    faults += [f"route {name!r}: {fault}" for fault in (*step_faults, *unknown_chains(steps, chains))]
    if where_fault is not None:
        faults.append(f"route {name!r}: {where_fault}")
    sources, types = _texts(entry.get("from")), _texts(entry.get("types"))
    return Route(
        name=name,
        chain=Chain(name, tuple(steps), chains, _ON_ERROR.get(entry.get("on_error"), "dead_letter")),
        destinations=tuple(dict.fromkeys(_texts(entry.get("to")))),
        sources=frozenset(sources) if sources else None,
        types=TypeGlobs.compile(types) if types else None,
        where=where,
        is_else=entry.get("else") is True,
        enabled=entry.get("enabled") is not False,
    )


def _where(text: Json) -> "tuple[Expression | None, str | None]":
    """Return the condition, or its fault."""
    if text is None:
        return None, None
    from shared.expressions import ExpressionFault, over_event

    if not isinstance(text, str):
        return None, f"where: an expression is text; found {kind_of(text)}"
    try:
        return over_event(text), None
    except ExpressionFault as error:
        return None, f"where: {error}"


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _numbers(value: Json) -> dict[str, int]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in pairs if isinstance(number, int)}


@dataclass(frozen=True, slots=True)
class StepFault:
    """A fault in the settings of a step; `number` and `name` are None for a fault of the chain as a whole."""

    number: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        place = f"step {self.number}" if self.number else "steps"
        return f"{place} {self.name!r}: {self.reason}" if self.name else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ChainsRead:
    """The named chains, and their faults by the chain's name, in the order of the file."""

    chains: Mapping[str, tuple[NamedStep, ...]]
    faults: Sequence[tuple[str, StepFault]]


def read_chain(
    raw: Json, own: StepClasses = NO_OWN_STEPS, chain: str | None = None, *, is_compiled: bool = False
) -> tuple[list[NamedStep], list[StepFault]]:
    """Return the steps and all their faults. `own` are the operator's steps; `chain` is the name of a named chain."""
    if raw is None:
        return [], []
    if not isinstance(raw, list):
        return [], [StepFault(None, None, f"a chain is a list of steps, each after `- `; found {kind_of(raw)}")]
    steps: list[NamedStep] = []
    faults: list[StepFault] = []
    if len(raw) > MAX_STEPS:
        faults.append(StepFault(None, None, f"a chain has at most {MAX_STEPS} steps; this one has {len(raw)}"))
    for number, entry in enumerate(raw, 1):
        step = _read_step(number, entry, own, chain, is_compiled)
        if isinstance(step, NamedStep):
            steps.append(step)
        else:
            faults.extend(step)
    return steps, faults


def _one_name_rule(entry: Json) -> str:
    """Return the rule for an entry that is not one step."""
    rule = "a step is one name with its settings, such as `drop: [data.password]`"
    if isinstance(entry, str):
        return f"{rule}; to go through a chain, write `chain: {entry}`" if step_class(entry) is None else rule
    names = [name for name in entry if step_class(name)] if isinstance(entry, dict) else []
    return f"{rule}; begin each of {' and '.join(names)} with `- `" if len(names) > 1 else rule


def _advised(reasons: Sequence[str], name: str, kind: type[Step], settings: Json) -> list[str]:
    """Return the reasons why the settings of a step are not accepted, with what to write."""
    if name in _PATH_FIRST and isinstance(settings, dict):
        paths = {key: value for key, value in settings.items() if isinstance(value, str) and value.startswith("data.")}
        if settings.keys() == {"from", "to"} and "from" in paths:
            return [f"write the path and then the value: `{name}: {{{paths['from']}: {settings['to']}}}`"]
        if swapped := [f"{value}: {key}" for key, value in paths.items() if not key.startswith("data")]:
            return [f"write the path first: `{name}: {{{', '.join(swapped)}}}`"]
    example = getattr(kind, "example", None)
    if example is None:
        return list(reasons)
    return [f"{each}, such as `{to_json(example.settings)}`" if each in _KIND_RULES else each for each in reasons]


def _read_step(
    number: int, entry: Json, own: StepClasses, chain: str | None, is_compiled: bool
) -> NamedStep | list[StepFault]:
    if not isinstance(entry, dict) or len(entry) != 1:
        return [StepFault(number, None, _one_name_rule(entry))]
    [(name, settings)] = entry.items()
    kind = own.get(name) or step_class(name)
    if kind is None:
        hint = did_you_mean(name, {*step_classes(), *own})
        return [StepFault(number, name, f"there is no such step{hint}")]
    try:
        step = _compiled_step(kind, settings) if is_compiled and name not in own else _verified_step(kind, settings)
    except SettingsFault as fault:
        return [StepFault(number, name, reason) for reason in _advised(fault.reasons, name, kind, settings)]
    except Exception as error:
        if name not in own:
            raise
        # The operator's own code may fail on its settings in any way.
        return [StepFault(number, name, f"its code fails on these settings: {place_in_own_module(error)}")]
    return NamedStep(number, name, step, chain, name in own)


def _verified_step(kind: type[Step], settings: Json) -> Step:
    # Imported here, because it imports pydantic, which would take a quarter of transform's start.
    from functions.transform.verifying import verified_step

    return verified_step(kind, settings)


def _compiled_step(kind: type[Step], settings: Json) -> Step:
    assert issubclass(kind, Settings)
    try:
        step = build(kind, settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsFault([f"{error}; compile the configuration again"]) from error
    assert isinstance(step, Step)
    return step


def read_chains(raw: Json, own: StepClasses, *, is_compiled: bool = False) -> ChainsRead:
    chains: dict[str, tuple[NamedStep, ...]] = {}
    faults: list[tuple[str, StepFault]] = []
    for name, written in raw.items() if isinstance(raw, dict) else ():
        chain_steps, step_faults = read_chain(written, own, name, is_compiled=is_compiled)
        chains[name] = tuple(chain_steps)
        faults += [(name, fault) for fault in step_faults]
    for name, steps in chains.items():
        faults += [(name, fault) for fault in unknown_chains(steps, chains)]
        faults += [(name, fault) for fault in _cycle(name, chains)]
    return ChainsRead(chains, faults)


def unknown_chains(steps: Sequence[NamedStep], chains: Mapping[str, object]) -> Iterator[StepFault]:
    """Yield a fault for each step that leads to a chain that is not configured."""
    for named in steps:
        for name in named.step.chains():
            if name not in chains:
                hint = did_you_mean(name, chains) or "; `chains` names none"
                if named.name == "switch":
                    hint += ". The `to` of a switch names a chain, not a destination"
                yield StepFault(named.number, named.name, f"there is no chain {name!r}{hint}")


def _cycle(name: str, chains: Mapping[str, tuple[NamedStep, ...]]) -> Iterator[StepFault]:
    """Yield a fault for each step of the chain from which events can come back to it."""
    for named in chains[name]:
        for first in named.step.chains():
            if path := _path_to(name, [first], chains, set()):
                yield StepFault(named.number, named.name, f"a chain cannot lead to itself: {' → '.join([name, *path])}")


def _path_to(
    target: str, path: list[str], chains: Mapping[str, tuple[NamedStep, ...]], seen: set[str]
) -> list[str] | None:
    last = path[-1]
    if last == target:
        return path
    if last in seen:
        return None
    seen.add(last)
    for named in chains.get(last, ()):
        for following in named.step.chains():
            if cycle := _path_to(target, [*path, following], chains, seen):
                return cycle
    return None


def step_class(name: str) -> type[Step] | None:
    """Return the built-in step of this name. Imports its family alone."""
    for family in _families_by_class().get(name, ()):
        if step := steps_of(_family(family), Settings).get(name):
            return step
    return None


def step_classes() -> StepClasses:
    """Return all built-in steps by name, in the order of their names. Imports every family."""
    classes: dict[str, type[Step]] = {}
    for _, steps in families():
        classes |= steps
    return dict(sorted(classes.items()))


def families() -> list[tuple[str, StepClasses]]:
    """Return the first line of each family's docstring, and its steps. Imports every family."""
    modules = [_family(path.stem) for path in _family_files()]
    return [
        ((module.__doc__ or module.__name__).strip().splitlines()[0], steps_of(module, Settings)) for module in modules
    ]


@cache
def steps_of(module: ModuleType, base: type) -> StepClasses:
    """Return the steps that the module defines; their settings have this base."""
    return {
        each.step_name(): each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Step)
        and issubclass(each, base)
        and each.__module__ == module.__name__
    }


def _family(name: str) -> ModuleType:
    return importlib.import_module(f"{step_families.__name__}.{name}")


@cache
def _families_by_class() -> Mapping[str, list[str]]:
    """Return the families that may have each step, by the names of the classes in their text: nothing is imported."""
    by_class: dict[str, list[str]] = {}
    for path in _family_files():
        for name in _CLASS.findall(path.read_text(encoding="utf-8")):
            by_class.setdefault(step_name(name), []).append(path.stem)
    return by_class


def _family_files() -> list[Path]:
    paths = [path for folder in step_families.__path__ for path in Path(folder).glob("*.py")]
    return sorted(path for path in paths if path.stem != "__init__")


def load_own_steps(sources: Mapping[str, str]) -> StepClasses:
    """Return the steps in the files; `sources` maps each file's name to its text. Raises OwnModuleFault."""
    by_file: dict[str, StepClasses] = {}
    models = dict[str, type[Step]]()
    if sources:
        from pydantic import BaseModel
    for file, source in sources.items():
        by_file[file] = steps_of(own_module(file, source), BaseModel)
        if not by_file[file]:
            raise OwnModuleFault(f"{file}: no class in it is both a pydantic model and a Step")
        for name, model in by_file[file].items():
            if missing := [each for each in ("summary", "example") if not hasattr(model, each)]:
                raise OwnModuleFault(f"{file}: the step {name!r} has no `{missing[0]}: ClassVar[…]`")
            if lacking := sorted(getattr(model, "__abstractmethods__", ())):
                raise OwnModuleFault(f"{file}: the step {name!r} has no `def {lacking[0]}(self, …)`")
            if name in models or step_class(name):
                raise OwnModuleFault(f"{file}: there is another step {name!r}; give its class another name")
            models[name] = model
    return models
