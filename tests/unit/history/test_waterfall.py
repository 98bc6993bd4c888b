"""An event's trace as bars on one time line, with kept spans and without."""

from dataclasses import replace
from typing import Final

import pytest

from deploy.history.journal_view import EventRecord, EventSummary, RequestRow
from deploy.history.waterfall import MAX_ATTEMPTS, Bar, time_line, waterfall_document
from shared.delivery import ROUTE_ITSELF
from shared.journal import AttemptEntry
from shared.jsontext import JsonObject, objects_at

AT: Final = 1_790_000_000.0
REQUEST: Final = RequestRow(AT + 0.004, "POST", 200, "shop", event_id="e1", duration_ms=4.0)


def span(name: str, service: str, identity: str, parent: str, after_ms: float, ms: float, code: str = "") -> JsonObject:
    row: JsonObject = {"name": name, "service": service, "id": identity, "parent": parent, "at": AT + after_ms / 1000}
    return {**row, "ms": ms, **({"code": code} if code else {})}


SPANS: Final = (
    span("POST /shop", "receive", "a", "", 0, 4),
    span("publish events", "receive", "b", "a", 2, 2),
    span("process events", "transform", "c", "b", 10, 10),
    span("step 1 'fetch'", "transform", "d", "c", 12, 6, "fetch_failed"),
)


def attempt(after_seconds: float, seconds: float, outcome: str = "delivered", number: int = 1) -> AttemptEntry:
    started_at = AT + after_seconds
    return AttemptEntry("d1", "e1", "orders", "crm", number, started_at, started_at + seconds, outcome)


def record(*attempts: AttemptEntry, spans: tuple[JsonObject, ...] = (), is_logged: bool = True) -> EventRecord:
    summary = EventSummary(1, "e1", "shop", "order.paid", None, None, AT, AT + 0.02, 1, "delivered")
    requests = (REQUEST,) if is_logged else ()
    return EventRecord(summary, {}, (), 1, requests, attempts, (), spans=spans)


def bars_of(record: EventRecord) -> list[tuple[object, ...]]:
    bars = objects_at(waterfall_document(record), "bars")
    return [(bar["name"], bar["depth"], bar["after_ms"], bar["ms"], bar["code"]) for bar in bars]


def test_without_telemetry_the_bars_are_what_the_journal_knows() -> None:
    assert bars_of(record(attempt(0.03, 0.1), attempt(60, 1, "unknown", 2))) == [
        ("receive", 0, 0, 4, ""),
        ("wait on the bus, then transform", 0, 4, 16, ""),
        ("deliver crm", 0, 30, 100, ""),
        ("deliver crm: attempt 2", 0, 60_000, 1_000, "unknown"),
    ]
    [received, routed] = bars_of(record(is_logged=False))
    assert received == ("receive", 0, 0, 0, "")
    assert routed[2:4] == (0, 20)


def test_kept_spans_are_bars_in_the_spans_around_them() -> None:
    assert bars_of(record(attempt(0.03, 0.1), spans=SPANS)) == [
        ("POST /shop", 0, 0, 4, ""),
        ("publish events", 1, 2, 2, ""),
        ("process events", 2, 10, 10, ""),
        ("step 1 'fetch'", 3, 12, 6, "fetch_failed"),
        ("deliver crm", 0, 30, 100, ""),
    ]


def test_after_a_replay_the_request_is_still_there_and_no_wait_is_made_up() -> None:
    again = attempt(0.03, 0.1)
    replayed = replace(record(again, spans=SPANS[2:]), passes=2)
    assert [bar[:3] for bar in bars_of(replayed)][:2] == [("receive", 0, 0), ("process events", 0, 10)]
    untraced = record(again)
    untraced = replace(untraced, passes=2, summary=replace(untraced.summary, routed_at=AT + 86_400))
    assert [bar[:4] for bar in bars_of(untraced)][:2] == [
        ("receive", 0, 0, 4),
        ("routed again", 0, 86_400_000, 0),
    ]


def test_of_spans_that_begin_together_the_outer_one_comes_first() -> None:
    inner, outer = span("step", "transform", "d", "c", 10, 1), span("process events", "transform", "c", "b", 10, 5)
    assert [bar[:2] for bar in bars_of(record(spans=(inner, outer)))][1:] == [("process events", 0), ("step", 1)]


def test_the_tries_of_a_route_that_waits_are_named_as_such() -> None:
    tried = attempt(1, 1, "retry_scheduled", 4)._replace(destination=ROUTE_ITSELF)
    assert bars_of(record(tried))[-1][0] == "route orders: try 4"


@pytest.mark.parametrize("hours", [0.0, 1.0, 99.0])
def test_a_retry_after_hours_leaves_room_for_milliseconds(hours: float) -> None:
    document = waterfall_document(record(attempt(0.03, 0.1, "unknown"), attempt(hours * 3_600 + 1, 0.1), spans=SPANS))
    widths = {str(bar["name"]): float(str(bar["width"])) for bar in objects_at(document, "bars")}
    assert widths["process events"] > 3
    assert len(objects_at(document, "pauses")) == 1
    last = objects_at(document, "bars")[-1]
    assert float(str(last["left"])) + float(str(last["width"])) == pytest.approx(100, abs=0.01)


def test_what_overlaps_lies_side_by_side_on_one_time_line() -> None:
    bars = [
        Bar("a", "notify", 0, AT, AT + 2),
        Bar("b", "notify", 0, AT + 1, AT + 4),
        Bar("c", "notify", 0, AT + 6, AT + 7),
    ]
    pieces = time_line(bars)
    assert [round(piece.left * 7) for piece in pieces] == [0, 400, 600]
    assert [round(piece.width * 7) for piece in pieces] == [400, 200, 100]
    assert not any(piece.is_cut for piece in pieces)


def test_an_event_that_was_only_received_has_one_bar_without_width() -> None:
    received = record(is_logged=False)
    not_routed = replace(received, summary=replace(received.summary, routed_at=None))
    [bar] = objects_at(waterfall_document(not_routed), "bars")
    assert (bar["left"], bar["width"]) == (0, 0)


def test_a_clock_that_is_set_back_makes_no_bar_of_negative_width() -> None:
    document = waterfall_document(record(attempt(-5, -1), spans=SPANS))
    assert all(float(str(bar["width"])) >= 0 and float(str(bar["left"])) >= 0 for bar in objects_at(document, "bars"))


def test_of_thousands_of_attempts_the_oldest_are_shown() -> None:
    document = waterfall_document(record(*[attempt(number, 0.5) for number in range(MAX_ATTEMPTS + 3)]))
    assert document["more_attempts"] == 3
    assert len(objects_at(document, "bars")) == MAX_ATTEMPTS + 2
