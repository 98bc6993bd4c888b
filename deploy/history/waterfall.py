"""An event's trace as bars on one time line: when it was received, routed and attempted, and how long each took.

With telemetry, transform keeps the spans of receive and of itself, with those of its steps, in the journal. Without,
the journal knows less: when a request was answered, when the event was routed, and each attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from deploy.history.journal_view import EventRecord
from shared import delivery, journal, jsontext, times

MAX_ATTEMPTS: Final = 100
"""The oldest attempts are shown: an event may have gone to thousands of endpoints."""
GAPS_PERCENT: Final = 30.0
MAX_GAP_PERCENT: Final = 6.0
"""The widths of all pauses that are cut short together, and of one of them, at the most."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A span. Times are Unix seconds.

    function  receive, transform or notify
    depth     the number of spans around it
    code      why it failed; empty if it did not
    """

    name: str
    function: str
    depth: int
    started_at: float
    ended_at: float
    code: str = ""


class Piece(NamedTuple):
    """A piece of the time line: a time in which something happened, or a pause. Times are Unix seconds.

    is_cut       it is a pause that is drawn shorter than it was
    left, width  its place, in percent of the time line's width
    """

    started_at: float
    ended_at: float
    is_cut: bool = False
    left: float = 0.0
    width: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended_at - self.started_at

    def place(self, at: float) -> float:
        """Return the place of a time in the piece."""
        return self.left + (self.width * (at - self.started_at) / self.seconds if self.seconds else 0.0)


def waterfall_document(record: EventRecord) -> jsontext.JsonObject:
    """Return the bars of an event, oldest first, with their places on the time line in percent of its width."""
    attempts = sorted(record.attempts, key=lambda each: each.started_at)
    bars = [*_functions_bars(record), *map(_attempt_bar, attempts[:MAX_ATTEMPTS])]
    pieces = time_line(bars)
    began_at = pieces[0].started_at
    documents: list[jsontext.Json] = [
        {
            "name": bar.name,
            "function": bar.function,
            "depth": bar.depth,
            "at": times.rfc3339(bar.started_at),
            "after_ms": _milliseconds(began_at, bar.started_at),
            "ms": _milliseconds(bar.started_at, bar.ended_at),
            "code": bar.code,
            "left": round(left := _place(pieces, bar.started_at), 3),
            "width": round(_place(pieces, bar.ended_at) - left, 3),
        }
        for bar in bars
    ]
    pauses: list[jsontext.Json] = [
        {
            "left": round(piece.left, 3),
            "width": round(piece.width, 3),
            "ms": _milliseconds(piece.started_at, piece.ended_at),
        }
        for piece in pieces
        if piece.is_cut
    ]
    return {
        "bars": documents,
        "pauses": pauses,
        "ms": _milliseconds(began_at, pieces[-1].ended_at),
        "more_attempts": max(0, len(attempts) - MAX_ATTEMPTS),
    }


def _functions_bars(record: EventRecord) -> list[Bar]:
    """Return the bars of receive and transform: of the kept spans, or of what the journal knows without them.

    The spans and the time of the routing are those of the last pass: a replay, for example, has no span of receive.
    """
    summary = record.summary
    request = next((each for each in record.requests if each.event_id), None)
    # The line of the log is written once the request is answered.
    answered_at = request.at if request else summary.received_at
    took_ms = (request.duration_ms if request else None) or 0.0
    received = Bar("receive", "receive", 0, answered_at - took_ms / 1000, answered_at)
    if record.spans:
        kept = _kept_bars(record.spans)
        return kept if any(bar.function == "receive" for bar in kept) else [received, *kept]
    if summary.routed_at is None:
        return [received]
    routed_at = max(answered_at, summary.routed_at)
    if record.passes > 1:
        return [received, Bar("routed again", "transform", 0, routed_at, routed_at)]
    return [received, Bar("wait on the bus, then transform", "transform", 0, answered_at, routed_at)]


def _kept_bars(spans: Sequence[jsontext.JsonObject]) -> list[Bar]:
    """Return a bar for each span, oldest first, and those in a span after it."""
    parents = {str(span["id"]): str(span["parent"]) for span in spans}
    bars: list[Bar] = []
    for span in spans:
        depth, parent = 0, str(span["parent"])
        while parent in parents and depth < len(parents):
            depth, parent = depth + 1, parents[parent]
        started_at = float(str(span["at"]))
        ended_at = started_at + max(0.0, float(str(span["ms"]))) / 1000
        code = str(span.get("code") or "")
        bars.append(Bar(str(span["name"]), str(span["service"]), depth, started_at, ended_at, code))
    return sorted(bars, key=lambda bar: (bar.started_at, bar.depth))


def _attempt_bar(attempt: journal.AttemptEntry) -> Bar:
    if attempt.destination == delivery.ROUTE_ITSELF:
        name = f"route {attempt.route}: try {attempt.attempt_number}"
    else:
        name = f"deliver {attempt.destination}"
        if attempt.attempt_number > 1:
            name += f": attempt {attempt.attempt_number}"
    code = "" if attempt.outcome == "delivered" else attempt.outcome
    ended_at = max(attempt.started_at, attempt.ended_at)
    return Bar(name, "notify", 0, attempt.started_at, ended_at, code)


def time_line(bars: Sequence[Bar]) -> list[Piece]:
    """Return the pieces of the time line. A pause that is longer than all that happened is cut short.

    Otherwise, a retry after an hour would leave no width for what took milliseconds.
    """
    busy: list[Piece] = []
    for started_at, ended_at in sorted((bar.started_at, bar.ended_at) for bar in bars):
        if busy and started_at <= busy[-1].ended_at:
            busy[-1] = busy[-1]._replace(ended_at=max(busy[-1].ended_at, ended_at))
        else:
            busy.append(Piece(started_at, ended_at))
    busy_seconds = sum(each.seconds for each in busy)
    unplaced = busy[:1]
    for before, after in pairwise(busy):
        pause = Piece(before.ended_at, after.started_at)
        unplaced += [pause._replace(is_cut=pause.seconds > busy_seconds), after]
    cut_count = sum(each.is_cut for each in unplaced)
    cut_percent = min(MAX_GAP_PERCENT, GAPS_PERCENT / cut_count) if cut_count else 0.0
    drawn_seconds = sum(each.seconds for each in unplaced if not each.is_cut)
    percent_of_second = (100.0 - cut_count * cut_percent) / drawn_seconds if drawn_seconds else 0.0
    pieces: list[Piece] = []
    left = 0.0
    for each in unplaced:
        width = cut_percent if each.is_cut else each.seconds * percent_of_second
        pieces.append(each._replace(left=left, width=width))
        left += width
    return pieces


def _place(pieces: Sequence[Piece], at: float) -> float:
    return next(piece.place(at) for piece in pieces if at <= piece.ended_at)


def _milliseconds(started_at: float, ended_at: float) -> float:
    return round((ended_at - started_at) * 1000, 3)
