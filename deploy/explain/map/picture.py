"""A map as boxes and lines: what each says, how urgent it is, where it leads, and its position.

The rows are one below the other. A source or a destination is as near as possible to the middle of the rows to which
it has a line. A text is given in full here; svg.py cuts it to the width of its box.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from deploy.explain.map import parts

MARGIN: Final = 3
TOP: Final = 36
ROW_GAP: Final = 12
PORT_GAP: Final = 17
"""The distance between two lines that leave the same box, so that the text of each has its own place."""
BOX_HEIGHT: Final = 44
STEP_GAP: Final = 22
"""The length of the line from a route to its steps."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The widths of a map's columns and of the parts of its lines, in pixels.

    steps  0: the box of a route has only their number
    stem   the straight beginning of the lines of a source, with their text; 0: the box of the source has the text
    fan    the curved part of a line
    label  the straight beginning of the lines of a route, with their text; 0: they have no text
    """

    source: int
    route: int
    steps: int
    destination: int
    stem: int
    fan: int
    label: int


WIDE: Final = Columns(source=172, route=214, steps=190, destination=190, stem=104, fan=64, label=142)
NARROW: Final = Columns(source=104, route=106, steps=0, destination=104, stem=0, fan=22, label=0)


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
    state: parts.State
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
    level: parts.Level = ""

    @property
    def urgency(self) -> int:
        return parts.LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class ShapeMaker:
    """Makes the boxes and lines with their texts, states and links.

    live       None if the map shows no counts and states
    open_link  returns the address that opens a group of routes
    """

    routing: parts.Routing
    live: parts.Live | None
    columns: Columns
    open_link: Callable[[str], str]

    def source_box(self, name: str, place: Place) -> Box:
        if name == parts.EVERY_SOURCE:
            return Box("source", "every source", "", place, parts.State(), page_link("events"), "Every source")
        detail = self.routing.sources.get(name, "")
        traffic = self.live.sources.get(name, parts.Traffic()) if self.live else None
        if traffic and traffic.count and not self.columns.stem:
            detail = traffic.text
        counted = f"{traffic.text} in the last hour" if traffic else ""
        return self._box("source", name, detail, place, page_link("events", source=name), counted)

    def destination_box(self, name: str, place: Place) -> Box:
        detail = self.routing.destinations.get(name, "")
        return self._box("destination", name, detail, place, page_link("deliveries", destination=name))

    def row_box(self, row: parts.Row, place: Place) -> Box:
        return self._route_box(row.routes[0], place) if len(row.routes) == 1 else self._group_box(row.routes, place)

    def _route_box(self, route: parts.RouteInfo, place: Place) -> Box:
        counted = "" if self.columns.steps else _step_count(route)
        link = page_link("deliveries", route=route.name)
        return self._box("route", route.name, counted or route.selects, place, link)

    def _group_box(self, routes: Sequence[parts.RouteInfo], place: Place) -> Box:
        """Return a box with the most urgent state of its routes. It is off only if all of them are."""
        states = [self._state("route", each.name) for each in routes]
        enabled = [state for state in states if state.level != "off"]
        worst = max(enabled or states, key=lambda state: parts.LEVELS.index(state.level))
        name = f"{len(routes)} routes"
        detail = ", ".join(each.name for each in routes)
        description = _sentence(f"Group of {name}: {detail}", worst)
        return Box("group", name, worst.word or detail, place, worst, self.open_link(routes[0].group_key), description)

    def steps_box(self, route: parts.RouteInfo, place: Place) -> Box:
        names = " → ".join(route.steps)
        description = f"Steps of route {route.name}: {names}"
        return Box("steps", names, _step_count(route), place, parts.State(), description=description)

    def source_line(self, source: Box, name: str, row: parts.Row, row_box: Box, *, has_text: bool) -> Line:
        stem = self.columns.stem if self.live else 0
        traffic = self.live.sources.get(name) if self.live else None
        text = traffic.text if traffic and stem and has_text else ""
        is_off = all(not route.is_enabled for route in row.routes)
        level: parts.Level = "off" if is_off else source.state.level
        begin, end = source.place, row_box.place
        return Line(begin.end, begin.middle, begin.end + stem, end.x, end.middle, text, level=level)

    def delivery_line(self, row: parts.Row, name: str, x: float, y: float, bend_x: float, destination: Box) -> Line:
        routes = [route for route in row.routes if name in route.destinations]
        level: parts.Level = destination.state.level
        text = description = ""
        if self.live:
            traffic = parts.total([self.live.lines.get((route.name, name), parts.Traffic()) for route in routes])
            text = traffic.text if self.columns.label else ""
            last_hour = replace(traffic, waiting=0, is_more_waiting=False).text
            counted = ", ".join(filter(None, (f"{last_hour} in the last hour", traffic.waiting_text)))
            origin = routes[0].name if len(routes) == 1 else f"{len(routes)} routes"
            description = f"{origin} → {name}: {counted}"
            level = "bad" if traffic.failed else level
        if not any(route.is_enabled for route in routes):
            level = "off"
        return Line(x, y, bend_x, destination.place.x, destination.place.middle, text, description, level)

    def _box(self, kind: parts.Kind, name: str, detail: str, place: Place, link: str, counted: str = "") -> Box:
        state = self._state(kind, name)
        described = f"{kind.capitalize()} {name}" + "".join(f", {each}" for each in (detail, counted) if each)
        return Box(kind, name, state.word or detail, place, state, link, _sentence(described, state))

    def _state(self, kind: parts.Kind, name: str) -> parts.State:
        if kind == "route" and any(not each.is_enabled for each in self.routing.routes if each.name == name):
            return parts.State("off", "disabled", "the configuration has `enabled: false`")
        return self.live.state(kind, name) if self.live else parts.State()


def _step_count(route: parts.RouteInfo) -> str:
    """Return the number of steps as a text; empty for none."""
    count = len(route.steps)
    return f"{count} step{'' if count == 1 else 's'}" if count else ""


def _sentence(text: str, state: parts.State) -> str:
    trouble = ": ".join(filter(None, (state.word, state.reason)))
    return f"{text}. {trouble[:1].upper()}{trouble[1:]}" if trouble else text


def page_link(section: str, **parameters: str) -> str:
    """Return the address of a section of the page, with the parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
    return f"#/{section}?{query}" if query else f"#/{section}"


@dataclass(frozen=True, slots=True)
class Picture:
    width: float
    height: float
    headings: Sequence[tuple[float, str]]
    boxes: Sequence[Box]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class _ColumnPlaces:
    """The left ends of the columns in pixels. `bend_x` is where the lines of a route begin to curve."""

    has_steps: bool
    route_x: int
    steps_x: int
    bend_x: int
    destination_x: int


def arrange(
    routing: parts.Routing,
    rows: Sequence[parts.Row],
    live: parts.Live | None = None,
    columns: Columns = WIDE,
    open_link: Callable[[str], str] = lambda _: "",
    *,
    troubles_first: bool = False,
) -> Picture:
    """Return the picture. `live` adds counts and states; `open_link` returns the address that opens a group.

    `troubles_first`: what needs attention is at the top of its column, for a picture that is higher than a window.
    """
    urgency = live.urgency if live and troubles_first else lambda _kind, _name: 0
    # The order stays as it is among rows that are equally urgent.
    rows = sorted(rows, key=lambda row: -max(urgency("route", each.name) for each in row.routes))
    columns_at = _column_places(rows, columns, has_counts=live is not None)
    shapes = ShapeMaker(routing, live, columns, open_link)
    row_boxes = _row_boxes(rows, shapes, columns_at)
    source_middles = _middles(routing.sources, [row.sources for row in rows], row_boxes)
    sources = {
        name: shapes.source_box(name, Place(MARGIN, top, columns.source))
        for name, top in _tops(source_middles, partial(urgency, "source")).items()
    }
    destination_middles = _middles(routing.destinations, [row.destinations for row in rows], row_boxes)
    destinations = {
        name: shapes.destination_box(name, Place(columns_at.destination_x, top, columns.destination))
        for name, top in _tops(destination_middles, partial(urgency, "destination")).items()
    }

    labelled: set[str] = set()
    step_boxes: list[Box] = []
    lines: list[Line] = []
    for row, box in zip(rows, row_boxes, strict=True):
        for name in row.sources:
            # The lines of a source begin as one, on which the text stands once.
            lines.append(shapes.source_line(sources[name], name, row, box, has_text=name not in labelled))
            labelled.add(name)
        last_box = box
        if columns_at.has_steps and row.has_steps_box:
            place = Place(columns_at.steps_x, box.place.y, columns.steps, box.place.height)
            last_box = shapes.steps_box(row.routes[0], place)
            step_boxes.append(last_box)
            lines.append(Line(box.place.end, box.place.middle, box.place.end, place.x, box.place.middle))
        lines += _delivery_lines(row, last_box, destinations, shapes, columns_at.bend_x)

    headings = [(MARGIN, "Sources"), (columns_at.route_x, "Routes"), (columns_at.destination_x, "Destinations")]
    if columns_at.has_steps:
        headings.append((columns_at.steps_x, "Steps"))
    boxes = [*sources.values(), *row_boxes, *step_boxes, *destinations.values()]
    width = columns_at.destination_x + columns.destination + MARGIN
    height = max((box.place.bottom for box in boxes), default=TOP) + MARGIN
    return Picture(width, height, headings, boxes, lines)


def _column_places(rows: Sequence[parts.Row], columns: Columns, *, has_counts: bool) -> _ColumnPlaces:
    has_steps = columns.steps > 0 and any(row.has_steps_box for row in rows)
    route_x = MARGIN + columns.source + columns.stem + columns.fan
    steps_x = route_x + columns.route + STEP_GAP
    labels_x = steps_x + columns.steps if has_steps else route_x + columns.route
    # Without steps, the curves get half of their room: lines to many destinations then cross at wider angles.
    fan = columns.fan if has_steps else columns.fan + columns.steps // 2
    # Without counts, the curves get the room of the labels too.
    bend_x = labels_x + columns.label if has_counts else labels_x
    return _ColumnPlaces(has_steps, route_x, steps_x, bend_x, destination_x=labels_x + columns.label + fan)


def _row_boxes(rows: Sequence[parts.Row], shapes: ShapeMaker, columns_at: _ColumnPlaces) -> list[Box]:
    """Return the boxes of the rows, one below the other."""
    boxes: list[Box] = []
    top = float(TOP)
    for row in rows:
        height = max(BOX_HEIGHT, PORT_GAP * len(row.destinations)) if shapes.columns.label else BOX_HEIGHT
        boxes.append(shapes.row_box(row, Place(columns_at.route_x, top, shapes.columns.route, height)))
        top += height + ROW_GAP
    return boxes


def _middles(
    names: Iterable[str], names_by_row: Sequence[Sequence[str]], row_boxes: Sequence[Box]
) -> dict[str, list[float]]:
    """Return for each name the middles of the rows to which it has a line."""
    middles: dict[str, list[float]] = {name: [] for name in names}
    for row_names, box in zip(names_by_row, row_boxes, strict=True):
        for name in row_names:
            middles.setdefault(name, []).append(box.place.middle)
    return middles


def _tops(middles: Mapping[str, Sequence[float]], urgency: Callable[[str], int]) -> dict[str, float]:
    """Return the tops of a column's boxes by name. `middles` are the middles of the rows to which each box has a line.

    Urgent boxes are at the top. Each other box is as near as possible to the mean of its rows. Boxes without a line
    follow below.
    """
    distance = BOX_HEIGHT + ROW_GAP
    urgent = sorted(filter(urgency, middles), key=urgency, reverse=True)
    urgent_tops = {name: TOP + number * distance for number, name in enumerate(urgent)}
    least_top = TOP + len(urgent) * distance
    others = [name for name in middles if middles[name] and name not in urgent_tops]
    connected = sorted(others, key=lambda name: fmean(middles[name]))
    # Boxes that would overlap become a block, one below the other. Each box wants a top for the first box of its block.
    blocks: list[list[float]] = []
    for number, name in enumerate(connected):
        wanted_top = fmean(middles[name]) - BOX_HEIGHT / 2
        blocks.append([wanted_top - number * distance])
        while len(blocks) > 1 and fmean(blocks[-2]) >= fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    block_tops = [max(fmean(block), least_top) for block in blocks for _ in block]
    tops = urgent_tops | {name: block_tops[number] + number * distance for number, name in enumerate(connected)}
    below = max(tops.values(), default=TOP - distance) + distance
    unconnected = [name for name in middles if name not in tops]
    return tops | {name: below + number * distance for number, name in enumerate(unconnected)}


def _delivery_lines(
    row: parts.Row, last_box: Box, destinations: Mapping[str, Box], shapes: ShapeMaker, bend_x: float
) -> Iterator[Line]:
    """Yield the lines from the row's last box to its destinations, from the top down."""
    downwards = sorted(row.destinations, key=lambda name: destinations[name].place.y)
    middle_number = (len(downwards) - 1) / 2
    for number, name in enumerate(downwards):
        offset = (number - middle_number) * PORT_GAP if shapes.columns.label else 0.0
        begin_y = last_box.place.middle + offset
        yield shapes.delivery_line(row, name, last_box.place.end, begin_y, bend_x, destinations[name])
