"""Transform's slice, read: its own steps, named chains and routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from functions.transform.chain import Chain, NamedChains, OnError, Steps
from functions.transform.families import StepClasses
from functions.transform.own_steps import load_own_steps
from functions.transform.routes import Route, Routes, TypeGlobs
from shared.jsontext import Json, JsonObject
from shared.own_modules import OwnModuleFault, own_sources
from shared.slices import SliceFault

if TYPE_CHECKING:
    from shared.expressions import Expression

_ON_ERROR: Final[dict[Json, OnError]] = {"continue": "continue", "drop": "drop"}


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
        named = [Chain("", steps, self.chains) for steps in self.chains.values()]
        return [*named, *(route.chain for route in self.routes)]


def read_program(configuration: JsonObject, *, is_compiled: bool = False) -> Program:
    """Return the program. Of a compiled one, settings are not verified again. Raises SliceFault with every fault."""
    try:
        own = load_own_steps(own_sources(configuration.get("own_steps")))
    except OwnModuleFault as fault:
        raise SliceFault("invalid_slice", str(fault)) from fault
    chains: NamedChains = {}
    faults: list[str] = []
    if configuration.get("chains"):
        from functions.transform.read_chains import read_chains

        read = read_chains(configuration.get("chains"), own, is_compiled=is_compiled)
        chains, faults = read.chains, [f"chain {name!r}: {fault}" for name, fault in read.faults]
    routes = [_route(entry, own, chains, faults, is_compiled) for entry in _objects(configuration.get("routes"))]
    if faults:
        raise SliceFault("invalid_slice", "; ".join(faults))
    return Program(Routes(routes), chains, own, _numbers(configuration.get("sources")))


def _route(entry: JsonObject, own: StepClasses, chains: NamedChains, faults: list[str], is_compiled: bool) -> Route:
    name = str(entry.get("name"))
    steps, step_faults = _steps(entry.get("steps"), own, chains, is_compiled)
    where, where_fault = _where(entry.get("where"))
    faults += [f"route {name!r}: {fault}" for fault in (*step_faults, where_fault) if fault is not None]
    sources, types = _texts(entry.get("from")), _texts(entry.get("types"))
    return Route(
        name=name,
        chain=Chain(name, steps, chains, _ON_ERROR.get(entry.get("on_error"), "dead_letter")),
        destinations=tuple(dict.fromkeys(_texts(entry.get("to")))),
        sources=frozenset(sources) if sources else None,
        types=TypeGlobs.compile(types) if types else None,
        where=where,
        is_else=entry.get("else") is True,
        enabled=entry.get("enabled") is not False,
    )


def _steps(written: Json, own: StepClasses, chains: NamedChains, is_compiled: bool) -> tuple[Steps, list[str]]:
    """Return the steps and their faults."""
    if not written:
        return (), []
    from functions.transform.read_chains import read_chain, unknown_chains

    steps, faults = read_chain(written, own, is_compiled=is_compiled)
    return tuple(steps), [str(fault) for fault in (*faults, *unknown_chains(steps, chains))]


def _where(text: Json) -> "tuple[Expression | None, str | None]":
    """Return the condition, or its fault."""
    if text is None:
        return None, None
    from shared.expressions import ExpressionFault, over_event
    from shared.jsontext import kind_of

    if not isinstance(text, str):
        return None, f"where: an expression is text; found {kind_of(text)}"
    try:
        return over_event(text), None
    except ExpressionFault as error:
        return None, f"where: {error}"


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _numbers(value: Json) -> dict[str, int]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: number for name, number in pairs if isinstance(number, int)}
