"""One delivery, from its message to what follows its attempt; and the spans that notify records."""

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from deploy.history.resumption import resume_destination
from functions.notify import entry
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.notifier import Acknowledged, Nacked
from functions.notify.notify import notify
from functions.notify.tracing import NotifySpans
from shared import logs
from shared.dead_letter_message import dead_letter_from
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown, delivery_from
from shared.errors import Permanent, Temporary
from shared.ledger import PAUSED_BY_OPERATOR, Claimed, DestinationState, Settlement
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.telemetry import spans
from shared.telemetry.spans import Span
from shared.times import rfc3339, unix_seconds
from tests.fakes.destinations import Answer, FakeDestination, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery, message_of, push_of
from tests.fakes.pushes import from_anybody

# What is delivered


async def test_a_delivery_is_attempted_once_recorded_and_acknowledged_however_often_it_comes() -> None:
    notifier = FakeNotifier()
    result = await notifier.take()
    assert isinstance(result, Acknowledged)
    assert (result.outcome, result.attempt_number) == ("delivered", 1)
    row = await notifier.row()
    assert (row.state, row.answer) == ("delivered", "202 Accepted")
    again = await notifier.take()
    assert (type(again), again.outcome) == (Acknowledged, "finished")
    assert notifier.crm.delivered == [DELIVERY]


# What is tried again


async def test_a_destination_in_trouble_is_acknowledged_and_tried_again_to_its_schedules_end() -> None:
    answers = [RetryLater(reason) for reason in ("busy there", "still busy", "down for good")]
    notifier = FakeNotifier(FakeDestination(*answers))
    start = notifier.clock.now()
    result = await notifier.take()
    assert (type(result), result.outcome) == (Acknowledged, "retry_scheduled")
    row = await notifier.row()
    assert row.retry_at is not None
    assert start + 5 <= row.retry_at <= start + 6
    (entry,) = notifier.journal.attempts
    assert (entry.delivery_id, entry.event_id, entry.destination) == (DELIVERY.id, "e1", "crm")
    assert (entry.outcome, entry.reason) == ("retry_scheduled", "busy there")
    assert (await notifier.take()).outcome == "waiting"
    notifier.clock.advance(6)
    (second,) = await notifier.sweep_and_take()
    assert (second.outcome, second.attempt_number) == ("retry_scheduled", 2)
    notifier.clock.advance(331)
    (third,) = await notifier.sweep_and_take()
    assert (third.outcome, third.code) == ("dead_lettered", "retries_exhausted")
    assert (await notifier.row()).reason == "retries_exhausted: attempt 3, the last: down for good"
    assert len(notifier.dead_letters) == 1


async def test_a_destination_that_asks_for_a_pause_is_left_alone_and_the_wait_counts_as_no_attempt() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("locked out", pause_destination_seconds=120.0)))
    await notifier.take(a_delivery(1))
    paused = await notifier.take(a_delivery(2))
    assert paused.reason == "the destination is paused: locked out"
    assert len(notifier.crm.attempts) == 1
    notifier.clock.advance(119)
    assert await notifier.sweep_and_take() == []  # it waits without coming to notify
    assert len(notifier.crm.attempts) == 1
    notifier.clock.advance(26)
    assert {result.outcome for result in await notifier.sweep_and_take()} == {"delivered"}
    assert sorted(attempt.attempt_number for attempt in notifier.crm.attempts) == [1, 1, 2]


class PausingLedger(FakeLedger):
    """Refuses pauses while it is busy, as a document does that many write at once."""

    is_busy = True

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        if self.is_busy:
            raise Temporary("ledger_unavailable", "others kept writing it")
        await super().pause(destination, until, now, reason)


async def test_a_pause_that_cannot_be_written_loses_no_outcome_and_is_written_by_the_next_rejection() -> None:
    """Else the attempt would count as one that ended without a record, and three of those as a crash."""
    rejection = RetryLater("locked out", pause_destination_seconds=120.0)
    ledger = PausingLedger()
    notifier = FakeNotifier(FakeDestination(rejection, rejection), ledger=ledger)
    with pytest.raises(Temporary):
        await notifier.take(a_delivery(1))
    row = await notifier.row()
    assert (row.state, row.reason) == ("retry_scheduled", "locked out")
    ledger.is_busy = False
    assert (await notifier.take(a_delivery(2))).outcome == "retry_scheduled"
    assert (await ledger.destination_state("crm")).paused_until is not None


# What is held


@pytest.mark.parametrize("reason_end", ["", "; then `hookchain resume crm`"])
async def test_a_destination_that_needs_an_operator_holds_what_is_owed_to_it_and_says_so_once(
    reason_end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = f"verify the sender a@example.com at SendGrid{reason_end}"
    notifier = FakeNotifier(FakeDestination(Disabled(reason, "403", names_resume=bool(reason_end))))
    assert (await notifier.take(a_delivery(1))).outcome == "held"
    assert (await notifier.take(a_delivery(2))).outcome == "held"
    assert len(notifier.crm.attempts) == 1
    assert notifier.dead_letters == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines if line["severity"] == "ERROR"] == [
        "verify the sender a@example.com at SendGrid; then `hookchain resume crm`"
    ]


async def test_a_release_that_comes_just_before_a_delivery_is_held_releases_that_one_too() -> None:
    class ReleasedMeanwhile(FakeLedger):
        async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
            await self.release("crm", settlement.now)
            return await super().settle(claim, settlement)

    notifier = FakeNotifier(FakeDestination(Disabled("verify the sender")), ledger=ReleasedMeanwhile())
    await notifier.take()
    assert (await notifier.row()).state == "retry_scheduled"


@pytest.mark.parametrize("disabled_reason", [None, PAUSED_BY_OPERATOR, "the key was rejected"])
async def test_with_hold_a_delivery_that_may_have_been_accepted_is_sent_again_only_once_it_is_released(
    disabled_reason: str | None,
) -> None:
    notifier = FakeNotifier(FakeDestination(Unknown("no answer"), Delivered()), options=Options(on_unknown="hold"))
    assert (await notifier.take()).outcome == "held"
    now = notifier.clock.now()
    if disabled_reason is None:
        await notifier.ledger.pause("crm", now + 60, now, "5 attempts in a row failed")
        await notifier.parts.states.end_pause("crm")
    else:
        await notifier.ledger.disable("crm", disabled_reason, now)
        resumed = await resume_destination(notifier.ledger, "crm", now)
        assert (resumed.released, resumed.stays_held) == (0, True)
    assert await notifier.ledger.destination_state("crm") == DestinationState()
    assert await notifier.sweep_and_take() == []
    assert await notifier.ledger.release("crm", now, releases_unknown=True) == 1
    assert [each.outcome for each in await notifier.sweep_and_take()] == ["delivered"]


async def test_an_attempt_does_not_begin_where_its_lease_could_end_before_it() -> None:
    class SlowState(FakeLedger):
        async def destination_state(self, destination: str) -> DestinationState:
            if not notifier.clock.now() - started:
                notifier.clock.advance(30.0)
            return await super().destination_state(destination)

    notifier = FakeNotifier(ledger=SlowState())
    started = notifier.clock.now()
    result = await notifier.take()
    assert (type(result), result.outcome, notifier.crm.attempts) == (Nacked, "lease_expired", [])
    assert (await notifier.take()).outcome == "delivered"
    assert (await notifier.row()).attempt_number == 1


# Replays


async def test_a_forced_replay_delivers_again_once_under_a_key_of_its_generation() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    assert (await notifier.take(replay="r1")).outcome == "finished"
    assert (await notifier.take(replay="r1", force="true")).outcome == "delivered"
    assert (await notifier.take(replay="r1", force="true")).outcome == "finished"
    assert (await notifier.take(replay="r2", force="true")).outcome == "delivered"
    assert [attempt.idempotency_key for attempt in notifier.crm.attempts] == [
        DELIVERY.id,
        f"{DELIVERY.id}-r1",
        f"{DELIVERY.id}-r2",
    ]
    assert [attempt.attempt_number for attempt in notifier.crm.attempts] == [1, 1, 1]


async def test_replays_write_under_the_same_key_until_one_is_delivered() -> None:
    failed = Failed("outcome_unknown", "accepted or not: unknown")
    notifier = FakeNotifier(FakeDestination(failed, Delivered(), failed, failed, Delivered(), failed))
    await notifier.take()
    for replay in ("r1", "r2", "r3", "r4", "r5"):
        await notifier.take(replay=replay, force="true")
    keys = [attempt.row_key.removeprefix(DELIVERY.id) for attempt in notifier.crm.attempts]
    assert keys == ["", "", "-r2", "-r2", "-r2", "-r5"]


RECEIVED = unix_seconds(EVENT.receivedat)
BUSY = RetryLater("busy there")


def expiring(*answers: Outcome, after: float = 600.0) -> FakeNotifier:
    notifier = FakeNotifier(FakeDestination(*answers), options=Options(expires_after_seconds=after))
    notifier.clock.time = RECEIVED
    return notifier


async def test_an_event_that_is_too_old_is_not_tried_any_more() -> None:
    notifier = expiring()
    notifier.clock.advance(600)
    result = await notifier.take()
    assert (result.outcome, result.code) == ("dead_lettered", "expired")
    assert notifier.crm.attempts == []
    assert len(notifier.dead_letters) == 1


@pytest.mark.parametrize("answer", [BUSY, Unknown("no answer")])
async def test_a_next_attempt_that_would_come_too_late_is_none(answer: Outcome) -> None:
    notifier = expiring(answer, after=4.0)
    result = await notifier.take()
    assert (result.outcome, result.code) == ("dead_lettered", "expired")
    assert result.reason is not None
    assert str(getattr(answer, "reason", "")) in result.reason
    assert "over before its next attempt" in result.reason


def with_pager(*answers: Outcome) -> FakeNotifier:
    options = Options(otherwise="pager", retry_seconds=())
    return FakeNotifier(FakeDestination(*answers), options=options, others={"pager": FakeDestination()})


@pytest.mark.parametrize("answer", [Failed("request_rejected", "no such list"), BUSY, Unknown("no answer")])
async def test_what_ends_as_a_dead_letter_goes_to_the_other_destination_once(answer: Outcome) -> None:
    notifier = with_pager(answer)
    result = await notifier.take()

    assert result.outcome == "dead_lettered"
    (message,) = notifier.bus.on(DELIVERIES)
    delivery = delivery_from(json.loads(message.data))
    assert delivery == Delivery(EVENT, DELIVERY.route, "pager")
    assert message.attributes["ce-id"] == delivery.id
    (letter,) = notifier.dead_letters
    assert "'pager' gets it instead" in json.loads(letter.data)["data"]["reason"]
    assert [topic for topic, _ in notifier.bus.sent] == [DELIVERIES, DEAD_LETTERS]
    assert (await notifier.take_message(message)).outcome == "delivered"
    assert (await notifier.take_message(message)).outcome == "finished"


async def test_a_rejection_is_dead_lettered_first_and_then_acknowledged() -> None:
    notifier = FakeNotifier(FakeDestination(Failed("mail_rejected", "no such list", "410 Gone")))
    result = await notifier.take()
    assert (type(result), result.outcome, result.code) == (Acknowledged, "dead_lettered", "mail_rejected")
    (message,) = notifier.dead_letters
    letter = dead_letter_from(json.loads(message.data))
    assert (letter.id, letter.code, letter.reason, letter.topic) == (
        DELIVERY.id,
        "mail_rejected",
        "no such list",
        "deliveries",
    )
    assert (letter.event_id, letter.route, letter.destination) == ("e1", "tell the list", "crm")
    assert json.loads(letter.message)["data"]["event"]["data"] == {"name": "Ada"}
    row = await notifier.row()
    assert (row.state, row.reason, row.answer) == ("dead_lettered", "mail_rejected: no such list", "410 Gone")


async def test_a_rejection_that_cannot_be_dead_lettered_is_not_acknowledged_and_comes_again() -> None:
    notifier = FakeNotifier(
        FakeDestination(Failed("mail_rejected", "no such list"), Failed("mail_rejected", "no such list"))
    )
    notifier.bus.fault = "down"
    with pytest.raises(Temporary):
        await notifier.take()
    notifier.bus.fault = None
    assert (await notifier.take()).outcome == "dead_lettered"
    assert [attempt.attempt_number for attempt in notifier.crm.attempts] == [1, 1]


@pytest.mark.parametrize(
    "fault",
    [
        *(RecursionError(), MemoryError(), KeyError("the body's own text"), OSError(5, "x"), SystemExit(1)),
        asyncio.CancelledError(),  # of something that it waited for
        None,  # where an operator's own code returns no outcome
    ],
)
async def test_a_destination_that_breaks_costs_one_delivery_and_reveals_nothing(fault: BaseException | None) -> None:
    notifier = FakeNotifier(FakeDestination(fault))  # type: ignore[arg-type]
    result = await notifier.take(a_delivery(1))
    assert (result.outcome, result.code) == ("dead_lettered", "destination_fault")
    assert "the body's own text" not in str(result.reason)
    assert (await notifier.take(a_delivery(2))).outcome == "delivered"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Delivered("sid \ud800\x1b[31m\nx" * 200), "delivered"),
        (Delivered(7), "delivered"),  # type: ignore[arg-type] # what an operator's own code may return
        (RetryLater(None, "soon", pause_destination_seconds=math.nan), "retry_scheduled"),  # type: ignore[arg-type]
        (RetryLater("busy", 10**400, pause_destination_seconds=math.inf), "retry_scheduled"),
        (RetryLater("busy", -1.0, pause_destination_seconds=-1.0), "retry_scheduled"),
        (Disabled("\ud800"), "held"),
        (Failed("request_rejected", "\ud800", "\ud800"), "dead_lettered"),
    ],
)
async def test_every_outcome_can_be_recorded_so_that_nothing_is_sent_again(outcome: Outcome, state: str) -> None:
    notifier = FakeNotifier(FakeDestination(outcome))
    await notifier.take()
    row, paused = await notifier.row(), await notifier.ledger.destination_state("crm")
    assert row.state == state
    texts = row.reason + row.answer + "".join(each.reason + each.answer for each in row.attempts)
    assert texts.isprintable()
    assert all(math.isfinite(time) for time in (row.retry_at or 0.0, paused.paused_until or 0.0))


async def test_the_sender_using_its_delivery_id_for_another_body_is_a_dead_letter_beside_the_first() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    other = replace(DELIVERY, event=replace(EVENT, payloadhash="b" * 64, data={"name": "Eve"}))
    result = await notifier.take(other)
    assert (type(result), result.code) == (Acknowledged, "delivery_id_reused")
    (letter,) = notifier.dead_letters
    assert letter.attributes["id"] != DELIVERY.id
    assert len(notifier.crm.attempts) == 1
    assert (await notifier.row()).state == "delivered"


async def test_a_destination_that_is_configured_no_more_is_a_dead_letter_once() -> None:
    notifier = FakeNotifier()
    gone = a_delivery(1, "old crm")
    result = await notifier.take(gone)
    assert (result.outcome, result.code) == ("dead_lettered", "unknown_destination")
    assert (await notifier.take(gone)).outcome == "finished"
    assert len(notifier.dead_letters) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_push"),
        (b"[" * 100_000, "malformed_push"),
        (b'{"message": 1}', "malformed_push"),
        (b'{"message": {"data": "!"}}', "malformed_push"),
        (push_of(b"\xff\xfe"), "malformed_event"),
        (push_of(b"[" * 100_000), "malformed_event"),
        (push_of(b'{"type": "hookchain.delivery", "data": {}}'), "malformed_event"),
        (push_of(b'{"type": "signup.created"}'), "malformed_event"),
    ],
)
async def test_what_is_no_delivery_is_dead_lettered_and_acknowledged(body: bytes, code: str) -> None:
    notifier = FakeNotifier()
    result = await notify(body, notifier.parts)
    assert (type(result), result.outcome, result.code) == (Acknowledged, "dead_lettered", code)
    (letter,) = notifier.dead_letters
    dead_letter_from(json.loads(letter.data))


@pytest.mark.parametrize("merged", ["12", -1, True, 1.5])
def test_a_number_of_merged_deliveries_that_is_none_is_malformed(merged: object) -> None:
    document = json.loads(message_of(DELIVERY, RECEIVED))
    document["data"]["merged"] = merged
    with pytest.raises(Permanent):
        delivery_from(document)


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
