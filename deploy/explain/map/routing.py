"""The routing of a configuration: its sources, routes and destinations as a map shows them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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
    """Return the rows of the map in the order of their sources. If grouped, only the groups in `opened` are listed."""
    position = {name: number for number, name in enumerate(routing.sources)}
    by_sources: dict[str, list[RouteInfo]] = {}
    for route in routing.routes:
        by_sources.setdefault(route.group_key, []).append(route)

    def first_position(group_key: str) -> int:
        return min(position.get(name, len(position)) for name in group_key.split(","))

    open_keys = set(opened)
    rows: list[Row] = []
    for key in sorted(by_sources, key=first_position):
        if is_grouped and key not in open_keys:
            rows.append(Row(tuple(by_sources[key])))
        else:
            rows += [Row((route,)) for route in by_sources[key]]
    return rows
