"""The boxes and lines of a map: what each says, how urgent it is, and where it leads.

Positions come from layout.py. A text is given in full here; svg.py cuts it to the width of its box.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from deploy.explain.map.live import LEVELS, Kind, Level, Live, State, Traffic, total
from deploy.explain.map.routing import EVERY_SOURCE, RouteInfo, Routing, Row

BOX_HEIGHT: Final = 44


@dataclass(frozen=True, slots=True)
class Columns:
    """The widths of a map in pixels. Without `steps`, a route only counts them; without `labels`, lines have no text.

    stem    the straight beginning of the lines of a source
    labels  the straight beginning of the lines of a route
    fan     the curved part of a line
    """

    source: int
    route: int
    steps: int
    destination: int
    stem: int
    fan: int
    labels: int
    step_gap: int = 22


WIDE: Final = Columns(source=172, route=214, steps=190, destination=190, stem=104, fan=64, labels=142)
NARROW: Final = Columns(source=104, route=106, steps=0, destination=104, stem=0, fan=22, labels=0)


class Place(NamedTuple):
    """The place of a box in pixels, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float = BOX_HEIGHT

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def end(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Box:
    """A box. `link` is an address in the page; `description` is its text in full, for screen readers too."""

    kind: str
    name: str
    detail: str
    place: Place
    state: State
    link: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line from left to right: straight to `bend_x`, then curved. `text` stands on the straight part."""

    x: float
    y: float
    bend_x: float
    end_x: float
    end_y: float
    text: str = ""
    description: str = ""
    level: Level = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """Makes the boxes and lines with their texts, states and links.

    live       None if the map shows no counts and states
    open_link  returns the address that opens a group of routes
    """

    routing: Routing
    live: Live | None
    columns: Columns
    open_link: Callable[[str], str]

    def source_box(self, name: str, place: Place) -> Box:
        if name == EVERY_SOURCE:
            return Box("source", "every source", "", place, State(), page_link("events"), "Every source")
        detail = self.routing.sources.get(name, "")
        traffic = self.live.sources.get(name, Traffic()) if self.live else None
        if traffic and traffic.count and not self.columns.stem:
            detail = traffic.text
        counted = f"{traffic.text} in the last hour" if traffic else ""
        return self._box("source", name, detail, place, page_link("events", source=name), counted)

    def destination_box(self, name: str, place: Place) -> Box:
        detail = self.routing.destinations.get(name, "")
        return self._box("destination", name, detail, place, page_link("deliveries", destination=name))

    def row_box(self, row: Row, place: Place) -> Box:
        return self._route_box(row.routes[0], place) if len(row.routes) == 1 else self._group_box(row.routes, place)

    def _route_box(self, route: RouteInfo, place: Place) -> Box:
        counted = "" if self.columns.steps else _step_count(route)
        link = page_link("deliveries", route=route.name)
        return self._box("route", route.name, counted or route.selects, place, link)

    def _group_box(self, routes: Sequence[RouteInfo], place: Place) -> Box:
        """Return a box with the most urgent state of its routes. It is off only if all of them are."""
        states = [self._state("route", each.name) for each in routes]
        enabled = [state for state in states if state.level != "off"]
        worst = max(enabled or states, key=lambda state: LEVELS.index(state.level))
        name = f"{len(routes)} routes"
        detail = ", ".join(each.name for each in routes)
        description = _sentence(f"Group of {name}: {detail}", worst)
        return Box("group", name, worst.word or detail, place, worst, self.open_link(routes[0].group_key), description)

    def steps_box(self, route: RouteInfo, place: Place) -> Box:
        names = " → ".join(route.steps)
        description = f"Steps of route {route.name}: {names}"
        return Box("steps", names, _step_count(route), place, State(), description=description)

    def source_line(self, source: Box, name: str, row: Row, row_box: Box, *, has_text: bool) -> Line:
        stem = self.columns.stem if self.live else 0
        traffic = self.live.sources.get(name) if self.live else None
        text = traffic.text if traffic and stem and has_text else ""
        is_off = all(not route.is_enabled for route in row.routes)
        level: Level = "off" if is_off else source.state.level
        begin, end = source.place, row_box.place
        return Line(begin.end, begin.middle, begin.end + stem, end.x, end.middle, text, level=level)

    def delivery_line(self, row: Row, name: str, x: float, y: float, bend_x: float, destination: Box) -> Line:
        routes = [route for route in row.routes if name in route.destinations]
        level: Level = destination.state.level
        text = description = ""
        if self.live:
            traffic = total([self.live.lines.get((route.name, name), Traffic()) for route in routes])
            text = traffic.text if self.columns.labels else ""
            last_hour = replace(traffic, waiting=0, is_more_waiting=False).text
            counted = ", ".join(filter(None, (f"{last_hour} in the last hour", traffic.waiting_text)))
            origin = routes[0].name if len(routes) == 1 else f"{len(routes)} routes"
            description = f"{origin} → {name}: {counted}"
            level = "bad" if traffic.failed else level
        if not any(route.is_enabled for route in routes):
            level = "off"
        return Line(x, y, bend_x, destination.place.x, destination.place.middle, text, description, level)

    def _box(self, kind: Kind, name: str, detail: str, place: Place, link: str, counted: str = "") -> Box:
        state = self._state(kind, name)
        described = f"{kind.capitalize()} {name}" + "".join(f", {each}" for each in (detail, counted) if each)
        return Box(kind, name, state.word or detail, place, state, link, _sentence(described, state))

    def _state(self, kind: Kind, name: str) -> State:
        if kind == "route" and any(not each.is_enabled for each in self.routing.routes if each.name == name):
            return State("off", "disabled", "the configuration has `enabled: false`")
        return self.live.states.get((kind, name), State()) if self.live else State()


def _step_count(route: RouteInfo) -> str:
    """Return the number of steps as a text; empty for none."""
    count = len(route.steps)
    return f"{count} step{'' if count == 1 else 's'}" if count else ""


def _sentence(text: str, state: State) -> str:
    trouble = ": ".join(filter(None, (state.word, state.reason)))
    return f"{text}. {trouble[:1].upper()}{trouble[1:]}" if trouble else text


def page_link(section: str, **parameters: str) -> str:
    """Return the address of a section of the page, with the parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
    return f"#/{section}?{query}" if query else f"#/{section}"
