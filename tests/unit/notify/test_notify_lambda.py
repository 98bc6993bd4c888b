"""Notify on AWS Lambda: batches of its queues, and the scheduler's sweep."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from functions.notify.destination import Attempt
from functions.notify.entry import Service
from functions.notify.lambda_handler import SweepFailed, handle
from functions.notify.waiting.sweep import Sweeper
from shared.cloud.aws.invocations import STOP_SECONDS
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Delivered, Delivery, Outcome, RetryLater
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import DeadLetter
from shared.jsontext import JsonObject, texts_json
from shared.ledger import LedgerRow
from shared.ports import BusMessage
from tests.aws.invoked import Context, FakeQueues, failures, queue_event, record
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery, message_of

NOW = 1_790_000_000.0
LETTER = DeadLetter("d1", "gone", "no such list", NOW - 5, b'{"a":1}', "deliveries", "e1", "tell the list", "crm")


def invoke(
    notifier: FakeNotifier, event: JsonObject, queues: FakeQueues | None = None, seconds: float = 30.0
) -> JsonObject:
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)

    async def nobody(_: object) -> None:
        raise AssertionError("nobody pushes over HTTP here")

    service = Service(notifier.parts, sweeper, notifier.journal, nobody)
    return handle(event, Context(seconds), lambda: service, lambda: queues or FakeQueues())


def deliveries(*numbers: int) -> JsonObject:
    """Return an event of deliveries whose messages have their numbers as ids."""
    messages = {str(number): BusMessage(message_of(a_delivery(number), NOW)) for number in numbers}
    return {"Records": [record("hookchain-deliveries", message, 1, name) for name, message in messages.items()]}


def test_the_deliveries_of_a_batch_are_delivered_and_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier()
    assert failures(invoke(notifier, deliveries(1, 2, 3))) == []
    assert {delivery.event.id for delivery in notifier.crm.delivered} == {"e1", "e2", "e3"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["function"], line["outcome"]) for line in lines] == [("notify", "delivered")] * 3


def test_a_destinations_failure_is_acknowledged_and_retried_by_the_sweep() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    assert failures(invoke(notifier, deliveries(1))) == []
    notifier.clock.advance(6)
    assert invoke(notifier, {"sweep": True}) == {"published": 1}


def test_a_failure_of_our_own_parts_brings_that_message_again_and_no_other() -> None:
    notifier, queues = FakeNotifier(FakeDestination(Temporary("secret_unavailable", "it is gone"))), FakeQueues()
    answer = invoke(notifier, deliveries(1, 2), queues)
    [failed] = failures(answer)
    assert queues.postponed == {failed: 10}
    assert len(notifier.crm.delivered) == 1


def test_a_batch_whose_deadline_comes_acknowledges_what_was_done_alone() -> None:
    async def hang(_: Delivery, __: Attempt) -> Outcome:
        await asyncio.Event().wait()
        return Delivered("never")

    notifier = FakeNotifier(FakeDestination(hang))
    answer = invoke(notifier, deliveries(1, 2), seconds=STOP_SECONDS + 0.1)
    [hung] = failures(answer)
    [delivered] = notifier.crm.delivered
    assert {f"e{hung}", delivered.event.id} == {"e1", "e2"}


def test_a_part_that_cannot_be_made_brings_the_messages_again(capsys: pytest.CaptureFixture[str]) -> None:
    def service() -> Service:
        raise Temporary("ledger_unavailable", "the settings name no table")

    answer = handle(deliveries(1, 2), Context(), service, FakeQueues)
    assert failures(answer) == ["1", "2"]
    assert "the settings name no table" in capsys.readouterr().out


@pytest.mark.parametrize("queue", ["hookchain-dead-letters", "hookchain-dead-letters-undelivered"])
def test_a_dead_letter_of_ours_is_kept_as_it_was_written(queue: str) -> None:
    notifier = FakeNotifier()
    assert failures(invoke(notifier, queue_event(queue, [dead_letter_message(LETTER)], receives=101))) == []
    assert notifier.journal.dead_letters == [LETTER]


def test_a_dead_letter_that_cannot_be_kept_comes_again() -> None:
    notifier = FakeNotifier()
    notifier.journal.fault = "the table is gone"
    assert len(failures(invoke(notifier, queue_event("dead-letters", [dead_letter_message(LETTER)])))) == 1


def test_a_delivery_that_was_received_too_often_becomes_a_dead_letter_under_its_own_id() -> None:
    notifier = FakeNotifier()
    messages = [BusMessage(message_of(DELIVERY, NOW))]
    assert failures(invoke(notifier, queue_event("p-deliveries-undelivered", messages, receives=101))) == []
    [letter] = notifier.journal.dead_letters
    assert (letter.id, letter.code, letter.topic) == (DELIVERY.id, "undeliverable", "deliveries")
    assert letter.reason == "the queue 'p-deliveries' gave up after 100 tries"
    assert notifier.crm.attempts == []


def test_an_event_that_was_received_too_often_becomes_a_dead_letter_of_its_topic() -> None:
    notifier = FakeNotifier()
    invoke(notifier, queue_event("p-events-undelivered", [BusMessage(texts_json(to_cloudevent(EVENT)))]))
    [letter] = notifier.journal.dead_letters
    assert (letter.id, letter.topic, letter.reason) == ("e1:", "events", "the queue 'p-events' gave up after 100 tries")


def test_what_is_no_message_of_ours_becomes_a_dead_letter_about_it() -> None:
    notifier = FakeNotifier()
    for queue in ("p-deliveries", "p-dead-letters", "p-events-undelivered"):
        assert failures(invoke(notifier, queue_event(queue, [BusMessage(b"\xff")]))) == []
    assert [letter.message for letter in notifier.journal.dead_letters] == [b"\xff"] * 2
    assert len(notifier.dead_letters) == 1


def test_a_sweep_that_fails_is_an_error_of_the_invocation_without_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    class BrokenLedger(FakeLedger):
        async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
            raise ZeroDivisionError("hunter2")

    with pytest.raises(SweepFailed) as failed:
        invoke(FakeNotifier(ledger=BrokenLedger()), {"sweep": True})
    assert failed.value.__suppress_context__
    written = capsys.readouterr().out
    assert ("ZeroDivisionError at" in written, "hunter2" in written) == (True, False)


def test_a_sweep_ends_before_lambda_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    class HangingLedger(FakeLedger):
        async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
            await asyncio.Event().wait()
            return ()

    with pytest.raises(SweepFailed):
        invoke(FakeNotifier(ledger=HangingLedger()), {"sweep": True}, seconds=STOP_SECONDS + 0.05)
    assert json.loads(capsys.readouterr().out)["code"] == "invocation_timeout"


@pytest.mark.parametrize("event", [{}, {"sweep": "yes"}, {"Records": []}])
def test_an_event_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="takes the messages"):
        invoke(FakeNotifier(), event)


def test_a_queue_that_is_not_notifys_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="got 'p-events'"):
        invoke(FakeNotifier(), queue_event("p-events", [BusMessage(b"{}")]))
