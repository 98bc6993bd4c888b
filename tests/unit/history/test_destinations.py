from deploy.history.destinations import DestinationView, Resumed, read_destinations, resume_destination
from shared.ledger import Claimed, Settlement
from shared.ledger_rules import DELIVERED, HELD, RETRY_SCHEDULED
from shared.outcomes import DeliveryState
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery

NOW = 10_000.0


async def settle(
    ledger: FakeLedger, number: int, state: DeliveryState, at: float, reason: str = "", retry_at: float | None = None
) -> None:
    claim = await ledger.claim(a_delivery(number, "crm"), b"message", at, 30.0)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, Settlement(state, at, reason, retry_at=retry_at))


async def test_a_destination_shows_what_waits_for_it_and_when_it_is_tried_next() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW + 200)
    await settle(ledger, 2, RETRY_SCHEDULED, NOW - 400, "504", NOW + 100)
    await settle(ledger, 3, DELIVERED, NOW - 3_601)
    await settle(ledger, 4, DELIVERED, NOW - 3_599)
    await settle(ledger, 5, HELD, NOW - 100, "no answer")
    await ledger.pause("crm", NOW + 60, NOW)
    await ledger.disable("chat", "answered 410", NOW)
    crm, chat = await read_destinations(ledger, ["crm", "chat", "crm"], NOW)
    assert crm == DestinationView("crm", "paused", "504", NOW + 60, 2, False, NOW - 500, NOW + 100, 1, 1)
    assert chat == DestinationView("chat", "disabled", "answered 410")


async def test_a_pause_that_is_over_is_none() -> None:
    ledger = FakeLedger()
    await ledger.pause("crm", NOW - 1, NOW - 60)
    assert [each.state for each in await read_destinations(ledger, ["crm"], NOW)] == ["delivering"]


async def test_a_resume_sends_what_is_held_and_what_waited_for_the_pause_also_of_those_who_did_not_know_it() -> None:
    """An instance of notify uses what it knows of a pause for ten seconds."""
    ledger, clock = FakeLedger(), FakeClock(NOW)
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "paused", NOW + 3_000)
    await settle(ledger, 2, HELD, NOW - 100, "no answer")
    await ledger.pause("crm", NOW + 3_000, NOW)

    async def let_another_wait(seconds: float) -> None:
        await settle(ledger, 3, RETRY_SCHEDULED, clock.now(), "paused", NOW + 3_100)
        clock.advance(seconds)

    assert await resume_destination(ledger, "crm", clock.now, let_another_wait) == Resumed(1, 2)
    assert len(await ledger.due(clock.now(), 10)) == 3
    assert await resume_destination(ledger, "crm", clock.now, let_another_wait) == Resumed(0)
