"""Deliveries that no destination can ever accept: they are dead-lettered first, then acknowledged."""

import asyncio
import json
import math
from dataclasses import replace

import pytest

from functions.notify.destination import Attempt
from functions.notify.notifier import Acknowledged
from functions.notify.notify import notify
from shared.dead_letter_message import dead_letter_from
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Temporary
from tests.fakes.destinations import FakeDestination
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery, push_of


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
    ],
)
async def test_a_destination_that_breaks_costs_one_delivery_and_says_nothing_of_what_it_held(
    fault: BaseException,
) -> None:
    notifier = FakeNotifier(FakeDestination(fault))
    result = await notifier.take(a_delivery(1))
    assert (result.outcome, result.code) == ("dead_lettered", "destination_fault")
    assert "the body's own text" not in str(result.reason)
    assert (await notifier.take(a_delivery(2))).outcome == "delivered"


async def test_an_attempt_that_is_cancelled_ends_and_says_nothing_of_its_outcome() -> None:
    async def endless(delivery: Delivery, attempt: Attempt) -> Outcome:
        await asyncio.Event().wait()
        return Delivered()

    notifier = FakeNotifier(FakeDestination(endless))
    taking = asyncio.create_task(notifier.take())
    while not notifier.crm.attempts:
        await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert (await notifier.row()).state == "attempted"


async def test_a_destination_that_answers_no_outcome_is_at_fault() -> None:
    async def nothing(delivery: Delivery, attempt: Attempt) -> Outcome:
        return None  # type: ignore[return-value] # what an operator's own code may do

    result = await FakeNotifier(FakeDestination(nothing)).take()
    assert (result.code, result.reason) == (
        "destination_fault",
        "the destination answered NoneType, not an outcome",
    )


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
