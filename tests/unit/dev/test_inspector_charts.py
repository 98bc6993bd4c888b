"""The charts of the last hour, day and 30 days, counted once from the journal, or from a cloud's metrics."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing, nullcontext
from functools import partial
from typing import Final

import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploy.cloud_access.gcp import ApiError, CloudDeployment, Gcloud, GoogleApi
from deploy.cloud_access.gcp_names import Target
from deploy.dev.inspector import charts_api
from deploy.dev.inspector.cloud_app import make_cloud_app
from deploy.dev.inspector.sources_api import OutsideFacts
from deploy.history.gcp_status import read_counts
from deploy.history.local_requests import RequestEntry, write_requests
from deploy.history.source_health import Outside
from deploy.terminal.command_line import CommandError
from deploy.topology.monitoring import MetricCount, MetricWindow
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.delivery import ROUTE_ITSELF
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import JsonObject
from shared.times import rfc3339, unix_seconds
from tests.gcp.description import Description
from tests.unit.dev.inspected import AUTHORIZED, TOKEN, Inspector

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


async def test_a_route_that_waits_is_no_failed_attempt_of_a_destination(inspector: Inspector) -> None:
    now = time.time()
    await keep_attempt(inspector, 1, now - 10)
    await keep_attempt(inspector, 2, now - 10, ROUTE_ITSELF, "retry_scheduled")
    found = await inspector.get("/api/charts?span=hour")
    assert (sum(map(int, map(str, found["not_delivered"]))), found["destinations"]) == (0, ["crm"])  # type: ignore[arg-type]
    overview = await inspector.parts.in_thread(partial(inspector.parts.reader.series, now, 300, 2))
    assert sum(each.not_delivered for each in overview) == 0


async def test_percentiles_are_of_first_attempts_and_exact_to_five_percent(inspector: Inspector) -> None:
    now = time.time()
    for number in range(100):
        await keep_attempt(inspector, number, now - 10, took=0.1 if number < 90 else 4.0)
    for number in range(50):  # replays, which begin again with attempt 1
        await keep_attempt(inspector, number, now - 5, took=5.1)
    # The first attempts may be before the newest bucket.
    overview = await inspector.parts.in_thread(partial(inspector.parts.reader.series, now, 300, 2))
    [p95_ms] = [each.p95_ms for each in overview if each.p95_ms is not None]
    assert p95_ms == pytest.approx(4_000, rel=0.05)
    found = await inspector.get("/api/charts?span=hour")
    assert float(str(found["whole_p50_ms"])) == pytest.approx(100, rel=0.05)
    assert float(str(found["whole_p95_ms"])) == pytest.approx(4_000, rel=0.05)
    none = await inspector.get("/api/charts?span=hour&source=till")
    assert none["whole_p50_ms"] is None


async def test_what_only_a_replay_delivered_was_not_late(inspector: Inspector) -> None:
    now = time.time()

    async def slowest_ms() -> list[float]:
        overview = await inspector.parts.in_thread(partial(inspector.parts.reader.series, now, 300, 2))
        found = await inspector.get("/api/charts?span=hour")
        return [max(each.p95_ms or 0.0 for each in overview), float(str(found["whole_p95_ms"]))]

    await keep_attempt(inspector, 1, now - 10)
    event = Event(f"{2:032x}", "/sources/shop", "order.paid", rfc3339(now - 1_800), "0" * 64, {})
    await inspector.parts.journal.record([EventEntry(event, (), now - 1_800)])  # its route failed
    await keep_attempt(inspector, 2, now - 5, took=1_795.0)
    assert await slowest_ms() == pytest.approx([500, 500], rel=0.05)
    await keep_attempt(inspector, 3, now - 5, took=1_795.0)
    assert await slowest_ms() == pytest.approx([1_795_000] * 2, rel=0.05)


async def test_a_row_is_counted_once_and_old_counts_are_forgotten(inspector: Inspector) -> None:
    now = time.time()
    keep_requests(inspector, request(now - 30, 200, "shop"))
    charts = charts_api.JournalCharts(inspector.parts.reader)

    async def accepted(name: str, at: float) -> int:
        assert await inspector.parts.in_thread(partial(charts.update, at))
        return sum(each.accepted for each in charts.series(name, at).buckets)

    assert [await accepted("hour", now), await accepted("hour", now)] == [1, 1]
    keep_requests(inspector, request(now - 20, 200, "shop"))
    assert await accepted("hour", now) == 2
    assert [await accepted(name, now + 7_200) for name in charts_api.SPANS] == [0, 2, 2]
    assert [await accepted(name, now + 31 * DAY) for name in charts_api.SPANS] == [0, 0, 0]
    with closing(open_journal(inspector.parts.state / FILE_NAME)) as journal:
        journal.execute("DELETE FROM requests")
    keep_requests(inspector, request(now + 31 * DAY, 200, "shop"))
    assert await accepted("hour", now + 31 * DAY) == 1


async def test_counts_are_there_again_after_a_clock_that_was_ahead_is_corrected(inspector: Inspector) -> None:
    now = time.time()
    keep_requests(inspector, request(now - 30, 200, "shop"))
    charts = charts_api.JournalCharts(inspector.parts.reader)
    for at in (now, now + 40 * DAY, now + 1, now):
        assert await inspector.parts.in_thread(partial(charts.update, at))
    for name in charts_api.SPANS:
        assert sum(each.accepted for each in charts.series(name, now).buckets) == 1


@pytest.mark.parametrize("arriving", [0, 1, 2])
async def test_nothing_is_counted_twice_after_newest_rows_are_deleted(inspector: Inspector, arriving: int) -> None:
    now = time.time()
    charts = charts_api.JournalCharts(inspector.parts.reader)

    async def delivered() -> int:
        assert await inspector.parts.in_thread(partial(charts.update, now))
        return sum(each.delivered for each in charts.series("hour", now).buckets)

    for number in range(5):
        await keep_attempt(inspector, number, now - 60)
    assert await delivered() == 5
    with closing(open_journal(inspector.parts.state / FILE_NAME)) as journal:
        journal.execute("DELETE FROM attempts WHERE seq = 5")
    for number in range(arriving):  # the first of these has the number of the row that is gone
        await keep_attempt(inspector, 10 + number, now - 30)
    assert [await delivered(), await delivered()] == [4 + arriving] * 2


async def test_a_look_at_many_rows_ends_in_time_and_the_next_ones_continue(inspector: Inspector) -> None:
    now = time.time()
    keep_requests(inspector, *(request(now - 30, 200, "shop") for _ in range(2 * charts_api.BATCH + 1)))
    ticks = iter(range(100))
    charts = charts_api.JournalCharts(inspector.parts.reader, lambda: next(ticks) * charts_api.LOOK_SECONDS * 0.6)
    assert [await inspector.parts.in_thread(partial(charts.update, now)) for _ in range(3)] == [False, False, True]
    assert sum(each.accepted for each in charts.series("hour", now).buckets) == 2 * charts_api.BATCH + 1


async def test_an_unknown_span_is_rejected(inspector: Inspector) -> None:
    async with inspector.client.get("/api/charts?span=year") as answer:
        assert (answer.status, await answer.text()) == (400, "span: must be one of hour, day, month; got 'year'.\n")


# From a cloud's metrics


async def nothing_outside() -> Outside:
    return Outside()


@asynccontextmanager
async def deployed_page(
    inspector: Inspector, read: charts_api.ReadCounts, seconds: Iterator[float]
) -> AsyncIterator[Inspector]:
    """Serve the page of a deployment. `seconds` are the times of the clock."""
    app = make_cloud_app(inspector.parts, "hookchain", TOKEN, OutsideFacts(nothing_outside, ""))
    app[charts_api.CHARTS] = charts_api.MetricCharts(read, lambda: next(seconds))
    async with TestClient(TestServer(app), headers=AUTHORIZED) as client:
        yield Inspector(client, inspector.parts, inspector.bus)


async def test_the_map_of_a_deployment_is_read_once_a_minute_however_often_it_is_searched(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    rows = inspector.parts.ledger.rows

    async def counted(*arguments: object, **filters: object) -> object:
        reads.append(str(filters))
        return await rows(*arguments, **filters)  # type: ignore[arg-type]

    monkeypatch.setattr(inspector.parts.ledger, "rows", counted)
    async with deployed_page(inspector, lambda _: [], iter([])) as page:
        await page.get("/api/map")
        once = len(reads)
        for search in ("c", "cr", "crm"):
            await page.get(f"/api/map?find={search}")
    assert len(reads) == once > 0


async def test_a_deployment_counts_what_its_metrics_have_and_says_what_they_lack(inspector: Inspector) -> None:
    now = time.time()
    windows: list[MetricWindow] = []

    def read(window: MetricWindow) -> Sequence[MetricCount]:
        windows.append(window)
        return [
            MetricCount("requests", now - 7_200, 10),
            MetricCount("rejected", now - 7_200, 3),
            MetricCount("rejected", now - 60, 1),  # before the request of the same minute is written
            MetricCount("attempts", now - 60, 5, "crm"),
            MetricCount("delivered", now - 60, 4, "crm"),
            MetricCount("delivered", now - 60, 2, "mail"),
        ]

    seconds = iter([0.0, 0.0, 1.0, charts_api.METRIC_SECONDS + 1, charts_api.METRIC_SECONDS + 1])
    async with deployed_page(inspector, read, seconds) as page:
        found = await page.get("/api/charts?span=day")
        names = ("accepted", "rejected", "delivered", "not_delivered")
        assert [sum(map(int, map(str, found[name]))) for name in names] == [7, 4, 6, 1]  # type: ignore[arg-type]
        assert (found["sources"], found["destinations"], found["counting"]) == ([], ["crm", "mail"], False)
        assert "no time to delivery" in str(found["missing"])
        one = await page.get("/api/charts?span=day&destination=crm")
        assert [sum(map(int, map(str, one[name]))) for name in names] == [0, 0, 4, 1]  # type: ignore[arg-type]
        assert [(each.bucket_seconds, each.buckets) for each in windows] == [(900, 96)]
        await page.get("/api/charts?span=day")
        assert len(windows) == 2


async def test_metrics_that_cannot_be_read_say_why_and_are_not_read_for_a_minute(inspector: Inspector) -> None:
    windows: list[MetricWindow] = []

    def read(window: MetricWindow) -> Sequence[MetricCount]:
        windows.append(window)
        if len(windows) > 1:
            return []
        raise CommandError("Cloud Monitoring: permission denied")

    seconds = iter([0.0, 0.0, 1.0, charts_api.METRIC_SECONDS + 1, charts_api.METRIC_SECONDS + 1])
    async with deployed_page(inspector, read, seconds) as page:
        for _ in range(2):
            async with page.client.get("/api/charts?span=hour") as answer:
                assert (answer.status, await answer.text()) == (503, "Cloud Monitoring: permission denied\n")
        assert len(windows) == 1
        assert (await page.get("/api/charts?span=hour"))["counting"] is False


class Monitoring(GoogleApi):
    """Cloud Monitoring with the same point for every filter, on the second page, as Google's description has it."""

    def __init__(self, end: float) -> None:
        super().__init__("acme-hooks", lambda: "token", {})
        self.end = end
        self.queries: list[Mapping[str, str | list[str]]] = []
        self.description = Description("monitoring", "v3")

    def get(self, service: str, path: str, query: Mapping[str, str | list[str]] | None = None) -> JsonObject:
        assert service == "monitoring"
        query = dict(query or {})
        method = self.description.method("GET", path, {name: str(value) for name, value in query.items()}, None)
        self.queries.append(query)
        answer: JsonObject = self.page(query) if query.get("pageToken") else {"nextPageToken": "two"}
        self.description.check_answer(method, answer)
        return answer

    def page(self, query: Mapping[str, str | list[str]]) -> JsonObject:
        interval: JsonObject = {"startTime": rfc3339(self.end - 60), "endTime": rfc3339(self.end)}
        is_of_destination = "aggregation.groupByFields" in query
        labels: JsonObject = {"destination": "crm"} if is_of_destination else {}
        is_distribution = "-attempts" in str(query["filter"])
        value: JsonObject = (
            {"distributionValue": {"count": "7", "mean": 80.5}} if is_distribution else {"int64Value": "5"}
        )
        return {
            "timeSeries": [
                {
                    "metric": {"type": "a.googleapis.com/b", "labels": labels},
                    "resource": {"type": "cloud_run_revision", "labels": {}},
                    "metricKind": "DELTA",
                    "valueType": "DISTRIBUTION" if is_distribution else "INT64",
                    "points": [{"interval": interval, "value": value}],
                }
            ]
        }


def test_google_counts_requests_in_total_and_attempts_by_destination() -> None:
    now = 1_772_366_430.0
    api = Monitoring(now)
    cloud = CloudDeployment(Target("acme-hooks"), Gcloud("acme-hooks"), api)
    counts = read_counts(cloud, MetricWindow(now, 60, 60, ()))
    assert sorted(counts) == [
        MetricCount("attempts", now, 7, "crm"),
        MetricCount("delivered", now, 5, "crm"),
        MetricCount("rejected", now, 5),
        MetricCount("requests", now, 5),
    ]
    filters = {str(query["filter"]) for query in api.queries}
    assert len(api.queries) == 2 * len(filters) == 8
    assert all("hookchain-" in each for each in filters)
    spans = {(str(each["interval.startTime"]), str(each["interval.endTime"])) for each in api.queries}
    assert [(unix_seconds(start), unix_seconds(end)) for start, end in spans] == [(now - 3_600, now)]


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, "Cannot find metric(s) that match type", nullcontext()),  # none was written yet
        (403, "Permission denied.", pytest.raises(CommandError, match=r"Cloud Monitoring: Permission denied\. \(403")),
    ],
)
def test_google_has_no_counts_of_a_new_metric_and_says_what_is_denied(
    status: int, message: str, expected: AbstractContextManager[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Monitoring(0)

    def rejected(*_: object) -> JsonObject:
        raise ApiError(status, "REASON", message)

    monkeypatch.setattr(api, "get", rejected)
    cloud = CloudDeployment(Target("acme-hooks"), Gcloud("acme-hooks"), api)
    with expected:
        assert read_counts(cloud, MetricWindow(0, 60, 60, ())) == []
