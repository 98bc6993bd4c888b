"""Deliveries that expire, and those that another destination gets instead."""

import json

import pytest

from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater, Unknown, delivery_from
from shared.errors import Temporary
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.times import unix_seconds
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier

RECEIVED = unix_seconds(EVENT.receivedat)
BUSY = RetryLater("busy there")


def expiring(*answers: Outcome, after: float = 600.0) -> FakeNotifier:
    crm = FakeDestination(*answers)
    notifier = FakeNotifier(crm, FakeDestinations({"crm": crm}, options={"crm": Options(expires_after_seconds=after)}))
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


async def test_a_pause_beyond_its_time_ends_it_too() -> None:
    notifier = expiring()
    await notifier.ledger.pause("crm", RECEIVED + 700, RECEIVED)
    assert (await notifier.take()).code == "expired"


def with_pager(*answers: Outcome) -> FakeNotifier:
    crm, pager = FakeDestination(*answers), FakeDestination()
    destinations = FakeDestinations(
        {"crm": crm, "pager": pager}, retry_seconds=(), options={"crm": Options(otherwise="pager")}
    )
    return FakeNotifier(crm, destinations)


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


async def test_what_is_delivered_goes_nowhere_else() -> None:
    notifier = with_pager(Delivered())
    await notifier.take()
    assert notifier.bus.sent == []


async def test_while_the_bus_is_down_the_delivery_is_not_final() -> None:
    notifier = with_pager(Failed("request_rejected", "no"), Failed("request_rejected", "no"))
    notifier.bus.fault = "down"
    with pytest.raises(Temporary):
        await notifier.take()
    notifier.bus.fault = None
    assert (await notifier.take()).outcome == "dead_lettered"
    assert len(notifier.bus.on(DELIVERIES)) == 1
