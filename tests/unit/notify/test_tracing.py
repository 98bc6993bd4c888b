"""The spans that notify records: attempts, digests and sweeps."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from functions.notify import entry
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.tracing import NotifySpans
from shared import logs
from shared.delivery import Delivered, Delivery, Failed, RetryLater
from shared.errors import Temporary
from shared.telemetry import spans
from shared.telemetry.spans import Span
from shared.times import rfc3339
from tests.fakes.destinations import Answer, FakeDestination, Options
from tests.fakes.notifier import EVENT, FakeNotifier
from tests.fakes.pushes import from_anybody

EVENT_ID = "5d03509d68ce534406a308d4b4ddf7f7"
PARENT = "00-" + EVENT_ID + "-" + "1" * 16 + "-01"


@dataclass
class Traced:
    """A notifier that records its spans."""

    notifier: FakeNotifier
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        recorder = NotifySpans(self.spans.append, "gcp_pubsub", self.notifier.clock)
        logs.set_ids(recorder.ids)
        self.notifier.parts = replace(self.notifier.parts, spans=recorder)

    def delivery(self, event_id: str = EVENT_ID) -> Delivery:
        received_at = rfc3339(self.notifier.clock.now())
        return Delivery(replace(EVENT, id=event_id, receivedat=received_at), "tell the list", "crm")


def traced(*answers: Answer) -> Traced:
    return Traced(FakeNotifier(FakeDestination(*answers)))


@pytest.fixture(autouse=True)
def without_ids() -> Iterator[None]:
    yield
    logs.set_ids(None)


async def test_an_attempt_is_a_child_of_what_published_its_message() -> None:
    found = traced(Failed("refused_by_receiver", "no", "410 Gone"))
    await found.notifier.take(found.delivery(), traceparent=PARENT)
    [span] = found.spans
    assert (span.name, span.place.trace_id, span.place.parent_id) == ("deliver crm", EVENT_ID, "1" * 16)
    assert (span.error, span.attributes[spans.HTTP_STATUS]) == ("refused_by_receiver", 410)


async def test_a_retry_that_the_sweep_brings_is_a_child_of_receive_and_days_later_a_trace_of_its_own() -> None:
    found = traced(RetryLater("busy"), RetryLater("busy", 3 * 86_400), Delivered())
    delivery = found.delivery()
    own = spans.ids_of_event(delivery.event)
    await found.notifier.take(delivery, traceparent=PARENT)
    for seconds in (30.0, 4 * 86_400.0):
        found.notifier.clock.advance(seconds)
        await found.notifier.sweep_and_take()
    _, soon, late = found.spans
    assert (soon.place.trace_id, soon.place.parent_id, soon.error) == (*own, "retry_scheduled")
    assert late.place.trace_id != EVENT_ID
    assert (late.place.parent_id, late.place.links, late.error) == ("", (own,), "")


async def test_an_attempt_for_an_event_of_no_time_is_recorded_too() -> None:
    found = traced(Delivered())
    delivery = Delivery(replace(EVENT, id=EVENT_ID, receivedat="soon"), "tell the list", "crm")
    assert (await found.notifier.take(delivery)).outcome == "delivered"
    assert found.spans[0].place.trace_id == EVENT_ID


async def test_a_digest_begins_its_own_trace_with_links_to_its_events() -> None:
    found = Traced(FakeNotifier(options=Options(gather=GatherSettings(digest=Digest(900.0, None)))))
    ids = [f"{number:032x}" for number in range(2**70, 2**70 + 3)]
    deliveries = [found.delivery(event_id) for event_id in ids]
    for delivery in deliveries:
        await found.notifier.take(delivery)
    for _ in range(20):
        found.notifier.clock.advance(60)
        await found.notifier.sweep_and_take()
    digest, attempt = found.spans
    assert (digest.name, digest.place.parent_id, digest.attributes[spans.COUNT]) == ("digest crm", "", 3)
    assert {*digest.place.links} == {spans.ids_of_event(each.event) for each in deliveries}
    assert (attempt.place.trace_id, attempt.place.parent_id) == (digest.place.trace_id, digest.span_id)


async def test_a_sweep_is_recorded_where_it_did_something_or_failed(capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(RetryLater("busy"))
    service = entry.Service(found.notifier.parts, found.notifier.new_sweeper(), None, from_anybody)
    await entry.sweep(service, 0.0)
    assert found.spans == []
    await found.notifier.take(found.delivery())
    found.notifier.clock.advance(30)
    await entry.sweep(service, 0.0)
    assert (found.spans[-1].name, found.spans[-1].attributes[spans.COUNT]) == ("sweep", 1)

    async def fail() -> int:
        raise Temporary("ledger_unavailable", "down")

    service.sweeper.sweep = fail  # type: ignore[method-assign] # a ledger that is down
    with pytest.raises(Temporary):
        await entry.sweep(service, 0.0)
    assert found.spans[-1].error == "ledger_unavailable"


async def test_a_line_about_a_delivery_has_the_ids_of_its_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(Delivered())
    await found.notifier.take(found.delivery(), traceparent=PARENT)
    logs.log("INFO", "delivered")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["trace"], line["span"]) == (EVENT_ID, found.spans[0].span_id)
