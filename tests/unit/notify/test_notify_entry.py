"""The requests, queues and schedules that call notify, and the dead letters that it keeps."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, strategies as st

from functions.notify.dead_letters import MAX_UNREADABLE_BYTES, keep_dead_letter, letter_of_body, letter_of_message
from functions.notify.destination import Attempt
from functions.notify.entry import Service, answer
from functions.notify.lambda_handler import SweepFailed, handle
from functions.notify.waiting.sweep import Sweeper
from shared.cloud.aws.invocations import STOP_SECONDS
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.http import Headers, Reply, Request
from shared.journal import DeadLetter
from shared.jsontext import JsonObject, to_json
from shared.ledger import LedgerRow
from shared.ports import BusMessage
from shared.push import MAX_PUSH_BYTES, Push
from tests.aws.invoked import Context, FakeQueues, failures, queue_event, record
from tests.fakes.bodies import reading
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery, message_of, push_of
from tests.fakes.pushes import from_anybody


def serving(notifier: FakeNotifier) -> Callable[[], Service]:
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    return lambda: Service(notifier.parts, sweeper, notifier.journal, from_anybody)


async def post(
    notifier: FakeNotifier, body: bytes, path: str = "/", method: str = "POST", headers: Headers = ()
) -> Reply:
    return await answer(serving(notifier), Request(method, path, headers=headers), reading(body))


def a_push() -> bytes:
    return push_of(message_of(DELIVERY, 1_790_000_000.0))


async def test_a_delivery_is_acknowledged_with_204_and_one_line_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply = await post(FakeNotifier(), a_push())
    assert (reply.status, reply.body) == (204, b"")
    (line,) = capsys.readouterr().out.splitlines()
    logged = json.loads(line)
    assert (logged["function"], logged["outcome"], logged["attempt_number"]) == ("notify", "delivered", 1)
    assert (logged["event_id"], logged["destination"], logged["severity"]) == ("e1", "crm", "INFO")
    assert logged["attempt_ms"] == 0  # by the fake clock


async def test_a_destinations_trouble_never_nacks() -> None:
    for trouble in (RetryLater("busy there"), Failed("mail_rejected", "no such list"), TimeoutError(), ValueError()):
        assert (await post(FakeNotifier(FakeDestination(trouble)), a_push())).status == 204


async def test_trouble_of_our_own_parts_is_a_503_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier(FakeDestination(Temporary("secret_unavailable", "secret 'smtp-password' does not exist")))
    reply = await post(notifier, a_push())
    assert reply.status == 503
    assert b"smtp-password" not in reply.body
    assert "smtp-password" in capsys.readouterr().out


async def test_what_another_worker_has_is_a_503_and_no_error_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier()
    await notifier.ledger.claim(DELIVERY, b"", notifier.clock.now(), 45.0)
    assert (await post(notifier, a_push())).status == 503
    assert json.loads(capsys.readouterr().out)["severity"] == "INFO"


async def test_a_fault_of_ours_is_a_503_and_the_log_has_its_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    def service() -> Service:
        raise KeyError("what a sender wrote")

    assert (await answer(service, Request("POST", "/"), reading(a_push()))).status == 503
    out = capsys.readouterr().out
    assert "KeyError at test_notify_entry.py" in out
    assert "what a sender wrote" not in out


async def test_the_sweep_answers_how_many_it_published() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    await notifier.take()
    notifier.clock.advance(6)
    reply = await post(notifier, b"", "/sweep")
    assert (reply.status, json.loads(reply.body)) == (200, {"published": 1})


async def test_a_sweep_logs_what_is_due_for_each_destination_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * 3))
    service = serving(notifier)
    for number in range(3):
        await notifier.take(a_delivery(number))
        notifier.clock.advance(2)
    for _ in range(2):
        await answer(service, Request("POST", "/sweep"), reading(b""))
        notifier.clock.advance(20)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [(each["destination"], each["count"], each["oldest_seconds"]) for each in lines if "oldest_seconds" in each]
    assert found == [("crm", 1, 6)]


async def test_a_dead_letter_is_kept_and_acknowledged() -> None:
    notifier = FakeNotifier()
    letter = DeadLetter("d1", "gone", "no such list", 1_790_000_000.0, b"{}", "deliveries", "e1")
    push = push_of(dead_letter_message(letter).data)
    assert (await post(notifier, push, "/dead-letters")).status == 204
    assert notifier.journal.dead_letters == [letter]
    notifier.journal.fault = "the disk is full"
    assert (await post(notifier, push, "/dead-letters")).status == 503


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        *[("GET", path, (), 405) for path in ("/", "/sweep")],
        *[("POST", path, (), 404) for path in ("/other", "/sweep/../x")],
        # Of a site's page, through a browser on this machine.
        *[("POST", path, (("origin", "null"),), 403) for path in ("/", "/sweep", "/dead-letters")],
    ],
)
async def test_other_requests_are_rejected(method: str, path: str, headers: Headers, status: int) -> None:
    notifier = FakeNotifier()
    assert (await post(notifier, a_push(), path, method, headers)).status == status
    assert notifier.crm.attempts == []


async def test_a_push_larger_than_any_of_pubsubs_is_rejected() -> None:
    assert (await post(FakeNotifier(), b"x" * (MAX_PUSH_BYTES + 1))).status == 413


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


@pytest.mark.parametrize("queue", ["hookchain-dead-letters", "hookchain-dead-letters-undelivered"])
def test_a_dead_letter_of_ours_that_a_queue_brings_is_kept_as_it_was_written(queue: str) -> None:
    notifier = FakeNotifier()
    assert failures(invoke(notifier, queue_event(queue, [dead_letter_message(LETTER)], receives=101))) == []
    assert notifier.journal.dead_letters == [LETTER]


def test_a_delivery_that_was_received_too_often_becomes_a_dead_letter_under_its_own_id() -> None:
    notifier = FakeNotifier()
    messages = [BusMessage(message_of(DELIVERY, NOW))]
    assert failures(invoke(notifier, queue_event("p-deliveries-undelivered", messages, receives=101))) == []
    [letter] = notifier.journal.dead_letters
    assert (letter.id, letter.code, letter.topic) == (DELIVERY.id, "undeliverable", "deliveries")
    assert letter.reason == "the queue 'p-deliveries' gave up after 100 tries"
    assert notifier.crm.attempts == []


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


def test_the_event_of_the_scheduler_is_a_sweep_and_one_of_another_kind_an_error_that_says_so() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    invoke(notifier, deliveries(1))
    notifier.clock.advance(6)
    assert invoke(notifier, {"sweep": True}) == {"published": 1}
    with pytest.raises(ValueError, match="takes the messages"):
        invoke(notifier, {"sweep": "yes"})


def test_a_queue_that_is_not_notifys_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="got 'p-events'"):
        invoke(FakeNotifier(), queue_event("p-events", [BusMessage(b"{}")]))


GIVEN_UP = {
    "CloudPubSubDeadLetterSourceSubscription": "deliveries-push",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
    "CloudPubSubDeadLetterSourceDeliveryCount": "100",
}


async def test_where_there_is_no_journal_it_stays_with_the_bus() -> None:
    with pytest.raises(Temporary, match="no journal"):
        await keep_dead_letter(LETTER, None)


def test_a_delivery_that_pubsub_gave_up_on_is_kept_under_its_own_id() -> None:
    data = message_of(DELIVERY, NOW)
    letter = letter_of_body(push_of(data, GIVEN_UP), NOW)
    assert (letter.id, letter.code, letter.topic) == (DELIVERY.id, "undeliverable", "deliveries")
    assert (letter.event_id, letter.route, letter.destination) == ("e1", "tell the list", "crm")
    assert letter.reason == "the subscription 'deliveries-push' gave up after 100 tries"
    assert letter.message == data


def test_an_event_that_pubsub_gave_up_on_is_kept_before_it_has_a_route() -> None:
    letter = letter_of_body(push_of(to_json(to_cloudevent(EVENT)).encode(), GIVEN_UP), NOW)
    assert (letter.id, letter.code, letter.topic) == ("e1:", "undeliverable", "events")


def test_what_the_bus_of_another_system_brought_in_vain_is_kept_each_time_and_says_who_gave_up() -> None:
    pushes = [Push(b"[1]", {}, message_id) for message_id in ("m1", "m2", "m1")]
    first, second, repeated = [letter_of_message(each, NOW, "the subscription 'bus-jobs' gave up") for each in pushes]
    assert first.reason.startswith("the subscription 'bus-jobs' gave up, and it is not a message of Hookchain: ")
    assert first.id == repeated.id != second.id


@given(st.binary(max_size=200))
def test_whatever_comes_is_kept(content: bytes) -> None:
    assert letter_of_body(content, NOW).message == content
    assert letter_of_body(push_of(content), NOW).message == content
    assert letter_of_body(push_of(content, GIVEN_UP), NOW).message == content


def test_what_nobody_can_read_is_kept_in_part_where_it_is_huge() -> None:
    letter = letter_of_body(push_of(b"x" * (MAX_UNREADABLE_BYTES + 1)), NOW)
    assert len(letter.message) == MAX_UNREADABLE_BYTES


@pytest.mark.parametrize("name", ["id", "reason"])
def test_a_dead_letter_that_could_not_be_written_down_is_kept_as_it_came(name: str) -> None:
    """It would come again and again until the bus forgets it."""
    data = dead_letter_message(LETTER).data.replace(f'"{name}":"'.encode(), f'"{name}":"\\ud800'.encode())
    letter = letter_of_body(push_of(data), NOW)
    assert (letter.code, letter.message) == ("malformed_event", data)
    assert "half of a surrogate pair" in letter.reason
