"""The charts of the last hour, day and 30 days, counted once from the journal."""

import time
from contextlib import closing
from typing import Final

import pytest

from deploy.dev.inspector.charts_api import BATCH, LOOK_SECONDS, SPANS, Charts
from deploy.history.local_requests import RequestEntry, write_requests
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.times import rfc3339
from tests.unit.dev.inspected import Inspector

DAY: Final = 86_400.0


def keep_requests(inspector: Inspector, *requests: RequestEntry) -> None:
    with closing(open_journal(inspector.parts.state / FILE_NAME)) as journal, transaction(journal):
        write_requests(journal, requests)


async def keep_attempt(
    inspector: Inspector,
    number: int,
    at: float,
    destination: str = "crm",
    outcome: str = "delivered",
    took: float = 0.5,
) -> None:
    """Keep an attempt that ended at that time, `took` seconds after its event was received."""
    event = Event(f"{number:032x}", "/sources/shop", "order.paid", rfc3339(at - took), "0" * 64, {"n": number})
    attempt = AttemptEntry(f"d{number}", event.id, "orders", destination, 1, at, at, outcome, "", "")
    decision = RouteDecision("orders", True, "", (destination,))
    await inspector.parts.journal.record([EventEntry(event, (decision,), at), attempt])


def request(at: float, status: int, source: str) -> RequestEntry:
    return RequestEntry(at, "POST", status, source)


@pytest.mark.parametrize(
    ("query", "accepted", "rejected", "delivered", "failed"),
    [
        ("span=hour", 1, 1, 2, 0),
        ("span=day", 2, 1, 2, 1),
        ("span=month", 3, 1, 3, 1),
        ("span=month&source=shop", 2, 1, 3, 1),
        ("span=month&source=till", 1, 0, 0, 0),
        ("span=month&destination=crm", 0, 0, 1, 1),
        ("span=month&destination=customers", 0, 0, 1, 0),
    ],
)
async def test_each_span_has_the_counts_of_each_source_and_destination(
    inspector: Inspector, query: str, accepted: int, rejected: int, delivered: int, failed: int
) -> None:
    now = time.time()
    keep_requests(
        inspector,
        request(now - 31 * DAY, 200, "shop"),
        request(now - 2 * DAY, 200, "till"),
        request(now - 7_200, 200, "shop"),
        request(now - 60, 401, "shop"),
        request(now - 30, 200, "shop"),
    )
    await keep_attempt(inspector, 1, now - 2 * DAY)
    await keep_attempt(inspector, 2, now - 7_200, outcome="retry_scheduled")
    await keep_attempt(inspector, 3, now - 60, "mail")
    await keep_attempt(inspector, 4, now - 30, "customers:acme:ep_00000000000000000001")
    found = await inspector.get(f"/api/charts?{query}")
    sums = [sum(map(int, map(str, found[name]))) for name in ("accepted", "rejected", "delivered", "not_delivered")]  # type: ignore[arg-type]
    assert sums == [accepted, rejected, delivered, failed]
    assert found["counting"] is False
    if "month" in query:
        assert (found["sources"], found["destinations"]) == (["shop", "till"], ["crm", "customers", "mail"])


async def test_percentiles_are_of_first_attempts_and_exact_to_five_percent(inspector: Inspector) -> None:
    now = time.time()
    for number in range(100):
        await keep_attempt(inspector, number, now - 10, took=0.1 if number < 90 else 4.0)
    found = await inspector.get("/api/charts?span=hour")
    assert float(str(found["whole_p50_ms"])) == pytest.approx(100, rel=0.05)
    assert float(str(found["whole_p95_ms"])) == pytest.approx(4_000, rel=0.05)
    none = await inspector.get("/api/charts?span=hour&source=till")
    assert none["whole_p50_ms"] is None


async def test_a_row_is_counted_once_and_old_counts_are_forgotten(inspector: Inspector) -> None:
    now = time.time()
    keep_requests(inspector, request(now - 30, 200, "shop"))
    charts = Charts(inspector.parts.reader)

    def accepted(name: str, at: float) -> int:
        assert charts.update(at)
        return sum(each.accepted for each in charts.series(name, at).buckets)

    assert [accepted("hour", now), accepted("hour", now)] == [1, 1]
    keep_requests(inspector, request(now - 20, 200, "shop"))
    assert accepted("hour", now) == 2
    assert [accepted(name, now + 7_200) for name in SPANS] == [0, 2, 2]
    assert [accepted(name, now + 31 * DAY) for name in SPANS] == [0, 0, 0]
    with closing(open_journal(inspector.parts.state / FILE_NAME)) as journal:
        journal.execute("DELETE FROM requests")
    keep_requests(inspector, request(now + 31 * DAY, 200, "shop"))
    assert accepted("hour", now + 31 * DAY) == 1


async def test_a_look_at_many_rows_ends_in_time_and_the_next_ones_continue(inspector: Inspector) -> None:
    now = time.time()
    keep_requests(inspector, *(request(now - 30, 200, "shop") for _ in range(2 * BATCH + 1)))
    ticks = iter(range(100))
    charts = Charts(inspector.parts.reader, lambda: next(ticks) * LOOK_SECONDS * 0.6)
    assert [charts.update(now) for _ in range(3)] == [False, False, True]
    assert sum(each.accepted for each in charts.series("hour", now).buckets) == 2 * BATCH + 1


async def test_an_unknown_span_is_rejected(inspector: Inspector) -> None:
    async with inspector.client.get("/api/charts?span=year") as answer:
        assert (answer.status, await answer.text()) == (400, "span: must be one of hour, day, month; got 'year'.\n")
