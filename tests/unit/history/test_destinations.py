from deploy.history.destinations import (
    MAX_COUNTED,
    NOTICE_SECONDS,
    DestinationView,
    Resumed,
    read_destinations,
    resume_destination,
)
from deploy.history.documents import delivery_document
from functions.notify.attempt import attempt_entry
from shared.delivery import Unknown
from shared.jsontext import Json
from shared.ledger import PAUSED_BY_OPERATOR, POSTPONE_SECONDS, Claimed, DestinationState, Settlement
from shared.ledger_rules import DELIVERED, HELD, RETRY_SCHEDULED
from shared.outcomes import DeliveryState
from shared.times import rfc3339
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery

NOW = 10_000.0
SLICE: Json = {"kind": "webhook", "rate": [100, 60], "in_flight": 5, "per": "data.id", "retry_seconds": [5, 90, 7200]}
CAPS = "100/m, 5 at once, per data.id"
SCHEDULE = "4 attempts, after waits of 5 s, 90 s, 2 h"


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
    await ledger.pause("crm", NOW + 60, NOW, "it still fails")
    await ledger.disable("chat", "answered 410", NOW)
    crm, chat = await read_destinations(ledger, {"crm": SLICE, "chat": {}}, NOW)
    told = None, "webhook", CAPS, SCHEDULE
    assert crm == DestinationView(
        "crm", "paused", "it still fails", NOW + 60, 2, False, NOW - 500, NOW + 100, 1, 1, *told
    )
    assert chat == DestinationView("chat", "disabled", "answered 410")


async def test_what_the_sweep_has_published_is_tried_now_and_not_when_its_message_counts_as_lost() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW - 5)
    [row] = await ledger.due(NOW, 10)
    await ledger.postpone(row.key, row.fence, NOW - 2, NOW - 2 + POSTPONE_SECONDS)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [NOW - 2]
    [row] = await ledger.rows(10)
    assert delivery_document(row)["retry_at"] == rfc3339(NOW - 2)


async def test_no_attempt_is_announced_before_the_end_of_a_pause() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 500, "503", NOW + 20)
    await ledger.pause("crm", NOW + 60, NOW)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [NOW + 60]
    await ledger.disable("crm", "answered 410", NOW)
    assert [each.next_try_at for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [None]


async def test_a_destination_that_an_operator_paused_is_paused_and_not_disabled() -> None:
    ledger = FakeLedger()
    await ledger.disable("crm", PAUSED_BY_OPERATOR, NOW)
    assert [each.state for each in await read_destinations(ledger, {"crm": {}}, NOW)] == ["paused"]


async def test_a_resumed_destination_gets_what_was_held_and_what_waits_for_its_next_attempt() -> None:
    ledger = FakeLedger()
    await settle(ledger, 1, HELD, NOW - 400, "no answer")
    await settle(ledger, 2, RETRY_SCHEDULED, NOW - 400, "503", NOW + 86_400)
    await settle(ledger, 3, RETRY_SCHEDULED, NOW - 400, "503", NOW - 1)
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=1, hastened=1, delay_seconds=0)
    assert len(await ledger.due(NOW, 10)) == 3


async def test_what_a_paused_destination_gets_is_due_once_running_functions_have_noticed() -> None:
    ledger = FakeLedger()
    await ledger.pause("crm", NOW + 3_600, NOW)
    await settle(ledger, 1, RETRY_SCHEDULED, NOW - 400, "503", NOW + 86_400)
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=0, hastened=1, delay_seconds=NOTICE_SECONDS)
    assert await ledger.destination_state("crm") == DestinationState()
    assert (await ledger.due(NOW + NOTICE_SECONDS - 1, 10), len(await ledger.due(NOW + NOTICE_SECONDS, 10))) == ([], 1)


async def test_a_delivery_that_may_have_been_accepted_is_not_hastened() -> None:
    ledger = FakeLedger()
    claim = await ledger.claim(a_delivery(1, "crm"), b"message", NOW - 400, 30.0)
    assert isinstance(claim, Claimed)
    row = claim.row
    attempt = attempt_entry(row, 1, Unknown("no answer"), NOW - 400, NOW - 385)
    assert await ledger.settle(claim, Settlement(RETRY_SCHEDULED, NOW - 385, "no answer", attempt, NOW + 300))
    assert await resume_destination(ledger, "crm", NOW) == Resumed(released=0, hastened=0, delay_seconds=0)


async def test_a_count_of_the_last_hour_says_of_how_many_deliveries_it_is() -> None:
    ledger = FakeLedger()
    for number in range(MAX_COUNTED - 1):
        await settle(ledger, number, DELIVERED, NOW - 60)
    assert [(each.hour, each.hour_of) for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [(99, None)]
    for number in range(1_000, 1_002):
        await settle(ledger, number, DELIVERED, NOW - 60)
    assert [(each.hour, each.hour_of) for each in await read_destinations(ledger, {"crm": {}}, NOW)] == [(100, 100)]


async def test_a_pause_that_is_over_is_none() -> None:
    ledger = FakeLedger()
    await ledger.pause("crm", NOW - 1, NOW - 60)
    assert [each.state for each in await read_destinations(ledger, {"crm": {}}, NOW)] == ["delivering"]
