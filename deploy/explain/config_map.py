"""The map of a configuration: sources, routes, steps and destinations as one picture, left to right.

`read_routing` reads the compiled slices, `rows_of` chooses and groups the routes, `arrange` computes positions, and
`draw` writes them as SVG. All of them are pure. `hookchain map` and the page draw the same picture.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import quote, urlencode

from shared.jsontext import Json, JsonObject, mapping_at, mappings_at, objects_at

EVERY_SOURCE: Final = "*"
"""The key of the box that stands for all sources, where a route has `from: all`. No source has this name."""
STYLE_FILE: Final = Path(__file__).parent / "map.css"

Kind: TypeAlias = Literal["source", "route", "destination"]
Level: TypeAlias = Literal["", "off", "warn", "bad"]
"""How urgent a state is. `off`: the configuration disables it, which is no trouble."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


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


@dataclass(frozen=True, slots=True)
class Live:
    """The current states by kind and name, and the current traffic by source, and by route and destination.

    `used` are the destinations to which something was delivered, or may have been.
    """

    states: Mapping[tuple[Kind, str], State] = field(default_factory=dict)
    sources: Mapping[str, Traffic] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], Traffic] = field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def urgency(self, kind: Kind, name: str) -> int:
        """Return the number of the level: the larger, the more urgent."""
        return LEVELS.index(self.states.get((kind, name), State()).level)


# Reading the configuration


def read_routing(slices: Mapping[str, JsonObject]) -> Routing:
    """Return the routing of the compiled slices of `receive`, `transform` and `notify`."""
    transform = slices.get("transform", {})
    destinations = mappings_at(slices.get("notify", {}), "destinations")
    return Routing(
        sources={
            name: _source_text(mapping_at(each))
            for name, each in mapping_at(slices.get("receive", {}), "sources").items()
        },
        routes=[_route_info(each) for each in objects_at(transform, "routes")],
        destinations={name: _destination_text(each) for name, each in destinations.items()},
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
    types = _texts(route.get("types"))
    selects = [", ".join(types) or "every type"]
    if route.get("where"):
        selects.append("where")
    if route.get("else"):
        selects.append("else")
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


# Choosing and grouping routes


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


def matching(routing: Routing, text: str) -> Routing:
    """Return the routes with the text in the name of any of their parts, and the sources and destinations of these.

    A route without sources takes the events of each source.
    """
    wanted = text.casefold().strip()
    if not wanted:
        return routing
    routes = [each for each in routing.routes if _contains(each, routing.sources, wanted)]
    used_sources = {name for each in routes for name in each.sources}
    used_destinations = {name for each in routes for name in each.destinations}
    return Routing(
        {name: each for name, each in routing.sources.items() if name in used_sources or wanted in name.casefold()},
        routes,
        {
            name: each
            for name, each in routing.destinations.items()
            if name in used_destinations or wanted in name.casefold()
        },
    )


def _contains(route: RouteInfo, every_source: Iterable[str], wanted: str) -> bool:
    names = (route.name, route.selects, *(route.sources or every_source), *route.steps, *route.destinations)
    return any(wanted in name.casefold() for name in names)


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


# Positions


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
MARGIN: Final = 3
TOP: Final = 36
BOX_HEIGHT: Final = 44
ROW_GAP: Final = 12
PORT_GAP: Final = 17
"""The distance between two lines that leave the same box, so that the text of each has its own place."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box. `link` is an address in the page; `description` is its text in full, for screen readers too."""

    kind: str
    name: str
    detail: str
    x: float
    y: float
    width: float
    height: float
    state: State
    link: str
    description: str

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def end(self) -> float:
        return self.x + self.width


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
    routing: Routing,
    rows: Sequence[Row],
    live: Live | None = None,
    columns: Columns = WIDE,
    open_link: Callable[[str], str] = lambda _: "",
    *,
    troubles_first: bool = False,
) -> Picture:
    """Return the picture. `live` adds counts and states; `open_link` returns the address that opens a group.

    `troubles_first`: what needs attention is at the top of its column, for a picture that is higher than a window.
    """
    places = _column_places(rows, columns, has_counts=live is not None)
    urgencies = (live or Live()).urgency if troubles_first else _no_urgency
    rows = sorted(rows, key=lambda row: -max(urgencies("route", each.name) for each in row.routes))
    texts = _Texts(routing, live, columns, open_link)
    row_boxes = _row_boxes(rows, texts, places)
    source_middles: dict[str, list[float]] = {name: [] for name in routing.sources}
    destination_middles: dict[str, list[float]] = {name: [] for name in routing.destinations}
    for row, box in zip(rows, row_boxes, strict=True):
        for name in row.sources:
            source_middles.setdefault(name, []).append(box.middle)
        for name in row.destinations:
            destination_middles.setdefault(name, []).append(box.middle)
    source_tops = _tops(source_middles, partial(urgencies, "source"))
    destination_tops = _tops(destination_middles, partial(urgencies, "destination"))
    sources = {name: texts.source_box(name, MARGIN, top) for name, top in source_tops.items()}
    destinations = {
        name: texts.destination_box(name, places.destination_x, top) for name, top in destination_tops.items()
    }

    labelled: set[str] = set()
    step_boxes: list[Box] = []
    lines: list[Line] = []
    for row, box in zip(rows, row_boxes, strict=True):
        for name in row.sources:
            # The lines of a source begin as one, on which the text stands once.
            is_first = name not in labelled
            labelled.add(name)
            lines.append(texts.source_line(sources[name], name, row, box, has_text=is_first))
        last_box = box
        if places.has_steps and _has_steps_box(row):
            last_box = texts.steps_box(row.routes[0], places.steps_x, box.y, box.height)
            step_boxes.append(last_box)
            lines.append(Line(box.end, box.middle, box.end, last_box.x, box.middle))
        lines += _delivery_lines(row, last_box, destinations, texts, places.bend_x)

    headings = [(MARGIN, "Sources"), (places.route_x, "Routes"), (places.destination_x, "Destinations")]
    if places.has_steps:
        headings.append((places.steps_x, "Steps"))
    boxes = [*sources.values(), *row_boxes, *step_boxes, *destinations.values()]
    width = places.destination_x + columns.destination + MARGIN
    height = max((box.y + box.height for box in boxes), default=TOP) + MARGIN
    return Picture(width, height, headings, boxes, lines)


def _no_urgency(_: Kind, __: str) -> int:
    return 0


def _has_steps_box(row: Row) -> bool:
    return len(row.routes) == 1 and bool(row.routes[0].steps)


def _column_places(rows: Sequence[Row], columns: Columns, *, has_counts: bool) -> _ColumnPlaces:
    has_steps = columns.steps > 0 and any(map(_has_steps_box, rows))
    route_x = MARGIN + columns.source + columns.stem + columns.fan
    steps_x = route_x + columns.route + columns.step_gap
    labels_x = steps_x + columns.steps if has_steps else route_x + columns.route
    # Without steps, the curves get half of their room: lines to many destinations then cross at wider angles.
    fan = columns.fan if has_steps else columns.fan + columns.steps // 2
    # Without counts, the curves get the room of the labels too.
    bend_x = labels_x + columns.labels if has_counts else labels_x
    return _ColumnPlaces(has_steps, route_x, steps_x, bend_x, destination_x=labels_x + columns.labels + fan)


def _row_boxes(rows: Sequence[Row], texts: "_Texts", places: _ColumnPlaces) -> list[Box]:
    """Return the boxes of the rows, one below the other."""
    boxes: list[Box] = []
    top = float(TOP)
    for row in rows:
        height = max(BOX_HEIGHT, PORT_GAP * len(row.destinations)) if texts.columns.labels else BOX_HEIGHT
        boxes.append(texts.row_box(row, places.route_x, top, height))
        top += height + ROW_GAP
    return boxes


def _delivery_lines(
    row: Row, last_box: Box, destinations: Mapping[str, Box], texts: "_Texts", bend_x: float
) -> Iterator[Line]:
    """Yield the lines from the row's last box to its destinations, from the top down."""
    downwards = sorted(row.destinations, key=lambda name: destinations[name].y)
    middle_number = (len(downwards) - 1) / 2
    for number, name in enumerate(downwards):
        offset = (number - middle_number) * PORT_GAP if texts.columns.labels else 0.0
        begin_y = last_box.middle + offset
        yield texts.delivery_line(row, name, last_box.end, begin_y, bend_x, destinations[name])


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
    # Boxes that would overlap become a block. A block has, for each box, the top that this would give its first box.
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


@dataclass(frozen=True, slots=True)
class _Texts:
    """The boxes and lines with their texts, states and links."""

    routing: Routing
    live: Live | None
    columns: Columns
    open_link: Callable[[str], str]

    def source_box(self, name: str, x: float, y: float) -> Box:
        if name == EVERY_SOURCE:
            link, state = page_link("events"), State()
            return Box("source", "every source", "", x, y, self.columns.source, BOX_HEIGHT, state, link, "Every source")
        detail = self.routing.sources.get(name, "")
        traffic = self.live.sources.get(name, Traffic()) if self.live else None
        if traffic and traffic.count and not self.columns.stem:
            detail = traffic.text
        counted = f"{traffic.text} in the last hour" if traffic else ""
        link = page_link("events", source=name)
        return self._box("source", name, detail, (x, y, self.columns.source, BOX_HEIGHT), link, counted)

    def destination_box(self, name: str, x: float, y: float) -> Box:
        detail = self.routing.destinations.get(name, "")
        link = page_link("deliveries", destination=name)
        return self._box("destination", name, detail, (x, y, self.columns.destination, BOX_HEIGHT), link)

    def row_box(self, row: Row, x: float, y: float, height: float) -> Box:
        place = (x, y, self.columns.route, height)
        route = row.routes[0]
        if len(row.routes) == 1:
            count = len(route.steps)
            counted = f"{count} step{'' if count == 1 else 's'}" if count and not self.columns.steps else ""
            return self._box(
                "route", route.name, counted or route.selects, place, page_link("deliveries", route=route.name)
            )
        states = [self._state("route", each.name) for each in row.routes]
        is_off = all(state.level == "off" for state in states)
        urgent = states if is_off else [state for state in states if state.level != "off"]
        worst = max(urgent, key=lambda state: LEVELS.index(state.level))
        name = f"{len(row.routes)} routes"
        detail = ", ".join(each.name for each in row.routes)
        description = _sentence(f"Group of {name}: {detail}", worst)
        return Box("group", name, worst.word or detail, *place, worst, self.open_link(route.group_key), description)

    def steps_box(self, route: RouteInfo, x: float, y: float, height: float) -> Box:
        names = " → ".join(route.steps)
        counted = f"{len(route.steps)} steps" if len(route.steps) > 1 else "1 step"
        description = f"Steps of route {route.name}: {names}"
        return Box("steps", names, counted, x, y, self.columns.steps, height, State(), "", description)

    def source_line(self, source: Box, name: str, row: Row, row_box: Box, *, has_text: bool) -> Line:
        stem = self.columns.stem if self.live else 0
        traffic = self.live.sources.get(name) if self.live else None
        text = traffic.text if traffic and stem and has_text else ""
        is_off = all(not route.is_enabled for route in row.routes)
        level: Level = "off" if is_off else source.state.level
        return Line(source.end, source.middle, source.end + stem, row_box.x, row_box.middle, text, level=level)

    def delivery_line(self, row: Row, name: str, x: float, y: float, bend_x: float, destination: Box) -> Line:
        routes = [route for route in row.routes if name in route.destinations]
        level: Level = destination.state.level
        text = description = ""
        if self.live:
            traffic = total([self.live.lines.get((route.name, name), Traffic()) for route in routes])
            text = traffic.text if self.columns.labels else ""
            last_hour = replace(traffic, waiting=0, is_more_waiting=False).text
            counted = ", ".join(filter(None, (f"{last_hour} in the last hour", traffic.waiting_text)))
            description = f"{_names(routes)} → {name}: {counted}"
            level = "bad" if traffic.failed else level
        if not any(route.is_enabled for route in routes):
            level = "off"
        return Line(x, y, bend_x, destination.x, destination.middle, text, description, level)

    def _box(
        self,
        kind: Kind,
        name: str,
        detail: str,
        place: tuple[float, float, float, float],
        link: str,
        counted: str = "",
    ) -> Box:
        state = self._state(kind, name)
        described = f"{kind.capitalize()} {name}" + "".join(f", {each}" for each in (detail, counted) if each)
        return Box(kind, name, state.word or detail, *place, state, link, _sentence(described, state))

    def _state(self, kind: Kind, name: str) -> State:
        if kind == "route" and any(not each.is_enabled for each in self.routing.routes if each.name == name):
            return State("off", "disabled", "the configuration has `enabled: false`")
        return self.live.states.get((kind, name), State()) if self.live else State()


def _names(routes: Sequence[RouteInfo]) -> str:
    return routes[0].name if len(routes) == 1 else f"{len(routes)} routes"


def _sentence(text: str, state: State) -> str:
    trouble = ": ".join(filter(None, (state.word, state.reason)))
    return f"{text}. {trouble[:1].upper()}{trouble[1:]}" if trouble else text


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


def page_link(section: str, **parameters: str) -> str:
    """Return the address of a section of the page, with the parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
    return f"#/{section}?{query}" if query else f"#/{section}"


# Drawing

NAME_WIDTH: Final = 7.9
DETAIL_WIDTH: Final = 6.4
"""The average width of a character in pixels. This module cannot measure texts as a browser does."""
PADDING: Final = 10
BADGE: Final = 18
SIGNS: Final[Mapping[Level, str]] = {"warn": "!", "bad": "✕", "off": "–"}
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(picture: Picture, *, is_standalone: bool = True) -> str:
    """Return the picture as SVG. One that is not standalone has links, and the page that shows it has the style."""
    width, height = f"{picture.width:.0f}", f"{picture.height:.0f}"
    role = "img" if is_standalone else "group"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" role="{role}" aria-label="Map of the configuration"'
        f' width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    ]
    if is_standalone:
        parts.append(f"<style>{STYLE_FILE.read_text(encoding='utf-8')}</style>")
        parts.append('<rect class="paper" width="100%" height="100%"/>')
    parts += [f'<text class="heading" x="{x:.0f}" y="16">{text}</text>' for x, text in picture.headings]
    # Lines in trouble are drawn last, so that no other line covers them.
    parts += [_line(line) for line in sorted(picture.lines, key=lambda line: LEVELS.index(line.level))]
    parts += [_box(box, has_link=not is_standalone) for box in picture.boxes]
    return "\n".join([*parts, "</svg>", ""])


def _line(line: Line) -> str:
    half = (line.bend_x + line.end_x) / 2
    curve = f"C{half:.1f} {line.y:.1f} {half:.1f} {line.end_y:.1f} {line.end_x:.1f} {line.end_y:.1f}"
    path = f'<path d="M{line.x:.1f} {line.y:.1f}H{line.bend_x:.1f}{curve}"/>'
    title = f"<title>{xml_text(line.description)}</title>" if line.description else ""
    room = (line.bend_x - line.x - PADDING) / DETAIL_WIDTH
    text = f'<text x="{line.x + 6:.1f}" y="{line.y - 4:.1f}">{xml_text(fitted(line.text, room))}</text>'
    return f'<g class="line {line.level}">{title}{path}{text if line.text else ""}</g>'


def _box(box: Box, *, has_link: bool) -> str:
    room = box.width - 2 * PADDING
    name_room = room - BADGE if box.state.level else room
    name = xml_text(fitted(box.name, name_room / NAME_WIDTH))
    detail = xml_text(fitted(box.detail, room / DETAIL_WIDTH))
    description = xml_text(box.description)
    x, y = f"{box.x + PADDING:.1f}", box.middle
    parts = [
        f"<title>{description}</title>",
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="7"/>',
        f'<text class="name" x="{x}" y="{y - 3 if detail else y + 5:.1f}">{name}</text>',
        f'<text class="detail" x="{x}" y="{y + 13:.1f}">{detail}</text>' if detail else "",
        _badge(box) if box.state.level else "",
    ]
    content = "".join(parts)
    classes = f"box {box.kind} {box.state.level}".strip()
    if has_link and box.link:
        return f'<a class="{classes}" href="{escape(box.link)}" aria-label="{description}">{content}</a>'
    return f'<g class="{classes}">{content}</g>'


def _badge(box: Box) -> str:
    """Return the sign in the corner: a diamond for the level `bad`, a circle for the others."""
    x, y = box.end - 10, box.y + 10
    shape = f'<circle class="badge" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
    if box.state.level == "bad":
        shape = f'<path class="badge" d="M{x:.1f} {y - 11:.1f}l11 11l-11 11l-11 -11z"/>'
    return f'{shape}<text class="sign" x="{x:.1f}" y="{y + 4:.1f}">{SIGNS[box.state.level]}</text>'


def fitted(text: str, room: float) -> str:
    """Return the text, cut so that it takes at most `room` average characters."""
    used = 0.0
    for position, character in enumerate(text):
        used += _average_widths(character)
        if used > room:
            return f"{text[: max(position - 1, 1)]}…"
    return text


def _average_widths(character: str) -> float:
    """Return the width of the character as a multiple of that of an average one."""
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    if character in "MWmw@%":
        return 1.8
    return 1.2 if character.isupper() else 1


def xml_text(text: str) -> str:
    """Return the text escaped for an element or an attribute of XML, without characters that XML cannot contain."""
    return escape(_NOT_IN_XML.sub("\ufffd", text))
