"""The positions of a map's boxes and lines.

The rows are one below the other. A source or a destination is as near as possible to the middle of the rows to which
it has a line.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Final

from deploy.explain.map.boxes import BOX_HEIGHT, WIDE, Box, Columns, Labels, Line, Place
from deploy.explain.map.live import Kind, Live
from deploy.explain.map.routing import Routing, Row

MARGIN: Final = 3
TOP: Final = 36
ROW_GAP: Final = 12
PORT_GAP: Final = 17
"""The distance between two lines that leave the same box, so that the text of each has its own place."""


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
    urgency = live.urgency if live and troubles_first else _no_urgency
    rows = sorted(rows, key=lambda row: -max(urgency("route", each.name) for each in row.routes))
    columns_at = _column_places(rows, columns, has_counts=live is not None)
    labels = Labels(routing, live, columns, open_link)
    row_boxes = _row_boxes(rows, labels, columns_at)
    source_middles = _middles(routing.sources, [row.sources for row in rows], row_boxes)
    sources = {
        name: labels.source_box(name, Place(MARGIN, top, columns.source))
        for name, top in _tops(source_middles, partial(urgency, "source")).items()
    }
    destination_middles = _middles(routing.destinations, [row.destinations for row in rows], row_boxes)
    destinations = {
        name: labels.destination_box(name, Place(columns_at.destination_x, top, columns.destination))
        for name, top in _tops(destination_middles, partial(urgency, "destination")).items()
    }

    labelled: set[str] = set()
    step_boxes: list[Box] = []
    lines: list[Line] = []
    for row, box in zip(rows, row_boxes, strict=True):
        for name in row.sources:
            # The lines of a source begin as one, on which the text stands once.
            lines.append(labels.source_line(sources[name], name, row, box, has_text=name not in labelled))
            labelled.add(name)
        last_box = box
        if columns_at.has_steps and row.has_steps_box:
            place = Place(columns_at.steps_x, box.place.y, columns.steps, box.place.height)
            last_box = labels.steps_box(row.routes[0], place)
            step_boxes.append(last_box)
            lines.append(Line(box.place.end, box.place.middle, box.place.end, place.x, box.place.middle))
        lines += _delivery_lines(row, last_box, destinations, labels, columns_at.bend_x)

    headings = [(MARGIN, "Sources"), (columns_at.route_x, "Routes"), (columns_at.destination_x, "Destinations")]
    if columns_at.has_steps:
        headings.append((columns_at.steps_x, "Steps"))
    boxes = [*sources.values(), *row_boxes, *step_boxes, *destinations.values()]
    width = columns_at.destination_x + columns.destination + MARGIN
    height = max((box.place.bottom for box in boxes), default=TOP) + MARGIN
    return Picture(width, height, headings, boxes, lines)


def _no_urgency(_: Kind, __: str) -> int:
    return 0


def _column_places(rows: Sequence[Row], columns: Columns, *, has_counts: bool) -> _ColumnPlaces:
    has_steps = columns.steps > 0 and any(row.has_steps_box for row in rows)
    route_x = MARGIN + columns.source + columns.stem + columns.fan
    steps_x = route_x + columns.route + columns.step_gap
    labels_x = steps_x + columns.steps if has_steps else route_x + columns.route
    # Without steps, the curves get half of their room: lines to many destinations then cross at wider angles.
    fan = columns.fan if has_steps else columns.fan + columns.steps // 2
    # Without counts, the curves get the room of the labels too.
    bend_x = labels_x + columns.labels if has_counts else labels_x
    return _ColumnPlaces(has_steps, route_x, steps_x, bend_x, destination_x=labels_x + columns.labels + fan)


def _row_boxes(rows: Sequence[Row], labels: Labels, columns_at: _ColumnPlaces) -> list[Box]:
    """Return the boxes of the rows, one below the other."""
    boxes: list[Box] = []
    top = float(TOP)
    for row in rows:
        height = max(BOX_HEIGHT, PORT_GAP * len(row.destinations)) if labels.columns.labels else BOX_HEIGHT
        boxes.append(labels.row_box(row, Place(columns_at.route_x, top, labels.columns.route, height)))
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


def _delivery_lines(
    row: Row, last_box: Box, destinations: Mapping[str, Box], labels: Labels, bend_x: float
) -> Iterator[Line]:
    """Yield the lines from the row's last box to its destinations, from the top down."""
    downwards = sorted(row.destinations, key=lambda name: destinations[name].place.y)
    middle_number = (len(downwards) - 1) / 2
    for number, name in enumerate(downwards):
        offset = (number - middle_number) * PORT_GAP if labels.columns.labels else 0.0
        begin_y = last_box.place.middle + offset
        yield labels.delivery_line(row, name, last_box.place.end, begin_y, bend_x, destinations[name])
