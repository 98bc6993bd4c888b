"""The sources, routes and destinations that a map shows, with their current states and traffic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at

EVERY_SOURCE: Final = "*"
"""The key of the box that stands for all sources, where a route has `from: all`. No source has this name."""


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A route.

    sources  the names of the sources; empty for all
    steps    the names of the steps in order
    selects  which events it takes, as a short text
    """

    name: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    steps: tuple[str, ...] = ()
    selects: str = ""
    is_enabled: bool = True

    @property
    def group_key(self) -> str:
        """Return the key of the routes with the same sources, as the page's address has it."""
        return ",".join(self.sources) or EVERY_SOURCE


@dataclass(frozen=True, slots=True)
class Routing:
    """The sources and destinations by name, each with a short description, and the routes."""

    sources: Mapping[str, str]
    routes: Sequence[RouteInfo]
    destinations: Mapping[str, str]


def read_routing(slices: Mapping[str, JsonObject]) -> Routing:
    """Return the routing of the compiled slices of `receive`, `transform` and `notify`."""
    sources = mappings_at(slices.get("receive", {}), "sources")
    routes = objects_at(slices.get("transform", {}), "routes")
    destinations = mappings_at(slices.get("notify", {}), "destinations")
    return Routing(
        {name: _source_text(each) for name, each in sources.items()},
        [_route_info(each) for each in routes],
        {name: _destination_text(each) for name, each in destinations.items()},
    )


def _source_text(source: JsonObject) -> str:
    if bus := mapping_at(source, "bus"):
        return str(bus.get("kind", ""))
    schemes = dict.fromkeys(str(each.get("scheme")) for each in objects_at(source, "auth"))
    return ", ".join(schemes) or "no authentication"


def _destination_text(destination: JsonObject) -> str:
    kind, otherwise = destination.get("kind"), destination.get("otherwise")
    return f"{kind}, otherwise {otherwise}" if otherwise else str(kind)


def _route_info(route: JsonObject) -> RouteInfo:
    selects = [", ".join(_texts(route.get("types"))) or "every type"]
    selects += [condition for condition in ("where", "else") if route.get(condition)]
    return RouteInfo(
        name=str(route.get("name")),
        sources=_texts(route.get("from")),
        destinations=tuple(dict.fromkeys(_texts(route.get("to")))),
        steps=tuple(name for step in objects_at(route, "steps") for name in step),
        selects=" · ".join(selects),
        is_enabled=route.get("enabled") is not False,
    )


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def matching(routing: Routing, text: str) -> Routing:
    """Return the routes with the text in the name of any of their parts, and the sources and destinations of these.

    A source or destination without such a route is returned if its own name has the text. A route without sources
    takes the events of each source.
    """
    wanted = text.casefold().strip()
    if not wanted:
        return routing
    routes = [each for each in routing.routes if _contains(each, routing.sources, wanted)]
    used_sources = {name for each in routes for name in each.sources}
    used_destinations = {name for each in routes for name in each.destinations}

    def chosen(texts: Mapping[str, str], used: set[str]) -> dict[str, str]:
        return {name: each for name, each in texts.items() if name in used or wanted in name.casefold()}

    return Routing(chosen(routing.sources, used_sources), routes, chosen(routing.destinations, used_destinations))


def _contains(route: RouteInfo, every_source: Iterable[str], wanted: str) -> bool:
    names = (route.name, route.selects, *(route.sources or every_source), *route.steps, *route.destinations)
    return any(wanted in name.casefold() for name in names)


@dataclass(frozen=True, slots=True)
class Row:
    """A route, or the routes that take events of the same sources, as one box."""

    routes: tuple[RouteInfo, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return self.routes[0].sources or (EVERY_SOURCE,)

    @property
    def destinations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for route in self.routes for name in route.destinations))

    @property
    def has_steps_box(self) -> bool:
        """Return whether the steps have a box of their own, as those of a single route do."""
        return len(self.routes) == 1 and bool(self.routes[0].steps)


def rows_of(routing: Routing, *, is_grouped: bool = False, opened: Iterable[str] = ()) -> list[Row]:
    """Return the rows of the map in the order of their sources.

    If grouped, the routes of the same sources are one row, unless their group's key is in `opened`.
    """
    position = {name: number for number, name in enumerate(routing.sources)}
    groups: dict[str, list[RouteInfo]] = {}
    for route in routing.routes:
        groups.setdefault(route.group_key, []).append(route)

    def first_position(group: Sequence[RouteInfo]) -> int:
        """Return the position of the group's first source. Routes of all sources come last."""
        return min((position[name] for name in group[0].sources if name in position), default=len(position))

    open_keys = set(opened)
    rows: list[Row] = []
    for group in sorted(groups.values(), key=first_position):
        if is_grouped and group[0].group_key not in open_keys:
            rows.append(Row(tuple(group)))
        else:
            rows += [Row((route,)) for route in group]
    return rows


Kind: TypeAlias = Literal["source", "route", "destination"]
Level: TypeAlias = Literal["", "off", "warn", "bad"]
"""How urgent a state is, in this order. `off`: the configuration disables it, which is no trouble."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a source, route or destination that an operator must know. `word` is empty if it works."""

    level: Level = ""
    word: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The number of events or deliveries in the last hour; with `is_more`, there may have been more.

    per_minute       the current rate; None if nothing happens now
    failed           how many deliveries became dead letters
    waiting          how many deliveries wait now for an attempt, or are held
    is_more_waiting  more may wait
    """

    count: int = 0
    is_more: bool = False
    per_minute: float | None = None
    failed: int = 0
    waiting: int = 0
    is_more_waiting: bool = False

    @property
    def text(self) -> str:
        """Return the numbers that are not 0; the count also if it is, unless there is another number."""
        is_counted = self.count or self.is_more or not (self.failed or self.waiting_text)
        counted = number_text(self.count, self.is_more) if is_counted else ""
        rate = "" if self.per_minute is None else rate_text(self.per_minute)
        failed = f"{self.failed} failed" if self.failed else ""
        return " · ".join(filter(None, (counted, rate, failed, self.waiting_text)))

    @property
    def waiting_text(self) -> str:
        is_known = self.waiting or self.is_more_waiting
        return f"{number_text(self.waiting, self.is_more_waiting)} waiting" if is_known else ""


def number_text(number: int, is_more: bool) -> str:
    return f"{number}+" if is_more else str(number)


def rate_text(per_minute: float) -> str:
    if per_minute >= 60:
        return f"{per_minute / 60:.3g}/s"
    return f"{per_minute:.2g}/min" if per_minute >= 1 else f"{per_minute * 60:.2g}/h"


def total(traffic: Sequence[Traffic]) -> Traffic:
    rates = [each.per_minute for each in traffic if each.per_minute is not None]
    return Traffic(
        count=sum(each.count for each in traffic),
        is_more=any(each.is_more for each in traffic),
        per_minute=sum(rates) if rates else None,
        failed=sum(each.failed for each in traffic),
        waiting=sum(each.waiting for each in traffic),
        is_more_waiting=any(each.is_more_waiting for each in traffic),
    )


@dataclass(frozen=True, slots=True)
class Live:
    """The current states by kind and name, and the current traffic by source, and by route and destination.

    `may_have_delivered` are the destinations that accepted a delivery, or may have done so before those that are read.
    """

    states: Mapping[tuple[Kind, str], State] = field(default_factory=dict)
    sources: Mapping[str, Traffic] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], Traffic] = field(default_factory=dict)
    may_have_delivered: frozenset[str] = frozenset()

    def state(self, kind: Kind, name: str) -> State:
        return self.states.get((kind, name), State())

    def urgency(self, kind: Kind, name: str) -> int:
        """Return the number of the level: the larger, the more urgent."""
        return LEVELS.index(self.state(kind, name).level)
