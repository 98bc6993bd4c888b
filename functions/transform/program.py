"""Transform's slice, read: its routes, its named chains, and the steps in them.

A chain is written as `[{name: settings}, …]`. Settings are verified, except for those of a compiled configuration,
which were verified when it was compiled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from functions.transform.chain import Chain, NamedChains, OnError
from functions.transform.routes import Route, Routes, TypeGlobs
from functions.transform.step import MAX_STEPS, NamedStep, Settings, SettingsFault, Step, settings_from
from functions.transform.step_classes import NO_OWN_STEPS, StepClasses, load_own_steps, step_class, step_classes
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject, kind_of, objects_at, to_json
from shared.own_modules import OwnModuleFault, own_sources, place_in_own_module
from shared.settings import SliceFault

if TYPE_CHECKING:
    from shared.expressions import Expression

_ON_ERROR: Final[dict[Json, OnError]] = {"continue": "continue", "drop": "drop"}
_PATH_FIRST: Final = frozenset({"cast", "rename"})
"""The steps whose settings are `path: value`, which is easily written the other way round."""
_KIND_RULES: Final = frozenset({"must be a mapping", "must be a list", "must be text"})
"""The reasons to which an example of the step's settings is added."""


@dataclass(frozen=True, slots=True)
class Program:
    """The content of transform's slice.

    own         the operator's own steps
    type_words  for each configured source, the most words that a log may show of an event's type
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


@dataclass(frozen=True, slots=True)
class StepFault:
    """A fault in the settings of a step; `number` and `name` are None for a fault of the chain as a whole."""

    number: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        place = f"step {self.number}" if self.number else "steps"
        return f"{place} {self.name!r}: {self.reason}" if self.name else f"{place}: {self.reason}"


def read_program(configuration: JsonObject, *, is_compiled: bool = False) -> Program:
    """Return the program. The settings of a compiled configuration are not verified again, except those of the
    operator's own steps: a pydantic model is built by verifying.

    Raises SliceFault, whose text names every fault.
    """
    try:
        own = load_own_steps(own_sources(configuration.get("own_steps")))
    except OwnModuleFault as fault:
        raise SliceFault("invalid_slice", str(fault)) from fault
    chains, chain_faults = read_chains(configuration.get("chains"), own, is_compiled=is_compiled)
    faults = [f"chain {name!r}: {fault}" for name, fault in chain_faults]
    routes: list[Route] = []
    for entry in objects_at(configuration, "routes"):
        route, route_faults = _read_route(entry, own, chains, is_compiled)
        routes.append(route)
        faults += [f"route {route.name!r}: {fault}" for fault in route_faults]
    if faults:
        raise SliceFault("invalid_slice", "; ".join(faults))
    # The slice has for each source the number of words that the log may show of its types.
    return Program(Routes(routes), chains, own, type_words=_numbers(configuration.get("sources")))


def _read_route(entry: JsonObject, own: StepClasses, chains: NamedChains, is_compiled: bool) -> tuple[Route, list[str]]:
    """Return the route, and the texts of its faults. With a fault, the route lacks a part of what is written."""
    name = str(entry.get("name"))
    steps, step_faults = read_chain(entry.get("steps"), own, is_compiled=is_compiled)
    faults = [str(fault) for fault in (*step_faults, *unknown_chains(steps, chains))]
    where = None
    try:
        where = _read_where(entry.get("where"))
    except ValueError as fault:
        faults.append(f"where: {fault}")
    sources = _texts(entry.get("from"))
    types = _texts(entry.get("types"))
    route = Route(
        name=name,
        chain=Chain(name, tuple(steps), chains, _ON_ERROR.get(entry.get("on_error"), "dead_letter")),
        destinations=tuple(dict.fromkeys(_texts(entry.get("to")))),
        sources=frozenset(sources) if sources else None,
        types=TypeGlobs.compile(types) if types else None,
        where=where,
        is_else=entry.get("else") is True,
        enabled=entry.get("enabled") is not False,
    )
    return route, faults


def _read_where(text: Json) -> "Expression | None":
    """Return the condition; None if there is none. Raises ValueError."""
    if text is None:
        return None
    # Imported here, because many configurations have no `where`, and a start is quicker without JMESPath.
    from shared.expressions import over_event

    if not isinstance(text, str):
        raise ValueError(f"an expression is text; found {kind_of(text)}")
    return over_event(text)


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _numbers(value: Json) -> dict[str, int]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in pairs if isinstance(number, int)}


def read_chain(
    raw: Json, own: StepClasses = NO_OWN_STEPS, chain_name: str | None = None, *, is_compiled: bool = False
) -> tuple[list[NamedStep], list[StepFault]]:
    """Return the steps and all their faults. `own` are the operator's steps; a route's chain has no `chain_name`."""
    if raw is None:
        return [], []
    if not isinstance(raw, list):
        return [], [StepFault(None, None, f"a chain is a list of steps, each after `- `; found {kind_of(raw)}")]
    steps: list[NamedStep] = []
    faults: list[StepFault] = []
    if len(raw) > MAX_STEPS:
        faults.append(StepFault(None, None, f"a chain has at most {MAX_STEPS} steps; this one has {len(raw)}"))
    for number, entry in enumerate(raw, 1):
        step = _read_step(number, entry, own, chain_name, is_compiled)
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
        if settings.keys() == {"from", "to"} and "from" in paths:  # such as {from: data.plan, to: pro}
            return [f"write the path and then the value: `{name}: {{{paths['from']}: {settings['to']}}}`"]
        if swapped := [f"{value}: {key}" for key, value in paths.items() if not key.startswith("data")]:
            return [f"write the path first: `{name}: {{{', '.join(swapped)}}}`"]
    example = getattr(kind, "example", None)
    if example is None:
        return list(reasons)
    return [f"{each}, such as `{to_json(example.settings)}`" if each in _KIND_RULES else each for each in reasons]


def _read_step(
    number: int, entry: Json, own: StepClasses, chain_name: str | None, is_compiled: bool
) -> NamedStep | list[StepFault]:
    """Return the step, or the faults of its entry."""
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
    return NamedStep(number, name, step, chain_name, is_own=name in own)


def _verified_step(kind: type[Step], settings: Json) -> Step:
    # Imported here, because it imports pydantic, which would take a quarter of transform's start.
    from functions.transform.verifying import verified_step

    return verified_step(kind, settings)


def _compiled_step(kind: type[Step], settings: Json) -> Step:
    assert issubclass(kind, Settings)
    try:
        step = settings_from(kind, settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsFault([f"{error}; compile the configuration again"]) from error
    assert isinstance(step, Step)
    return step


def read_chains(
    raw: Json, own: StepClasses, *, is_compiled: bool = False
) -> tuple[dict[str, tuple[NamedStep, ...]], list[tuple[str, StepFault]]]:
    """Return the named chains, and each fault with the name of its chain, in the order of the file.

    `raw` maps each name to the steps; None if there are no chains.
    """
    chains: dict[str, tuple[NamedStep, ...]] = {}
    faults: list[tuple[str, StepFault]] = []
    for name, written in raw.items() if isinstance(raw, dict) else ():
        chain_steps, step_faults = read_chain(written, own, name, is_compiled=is_compiled)
        chains[name] = tuple(chain_steps)
        faults += [(name, fault) for fault in step_faults]
    for name, steps in chains.items():
        faults += [(name, fault) for fault in unknown_chains(steps, chains)]
        faults += [(name, fault) for fault in _cycle(name, chains)]
    return chains, faults


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
    """Return the path continued to the target; None if the chain at its end does not lead there.

    `seen` has the chains that were searched, so that each is searched once.
    """
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
