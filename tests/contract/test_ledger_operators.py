"""What operators and subscribers do and look at, in every implementation of the Ledger port and in its fake: deliveries
to an endpoint are never taken for those of another endpoint or of the configured destination."""

from collections.abc import Callable

import pytest

from shared import ledger_rules as rules
from shared.cloud.gcp import ledger as gcp_ledger, ledger_documents
from shared.ledger import Claimed, DestinationState, Finished, Ledger, LedgerRow, Settlement
from shared.outcomes import DeliveryState
from tests.contract.claims import (
    DELIVERY,
    KEY,
    LEASE,
    MESSAGE,
    T,
    attempt,
    claimed,
    delivery,
    done,
    failed,
    finished,
    held,
    later,
    plain_claim,
    settled,
    the_row,
)

# Whole destinations


async def test_a_destination_is_enabled_until_it_is_disabled(ledger: Ledger) -> None:
    assert await ledger.destination_state("crm") == DestinationState()
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.destination_state("crm") == DestinationState("verify the sender")
    assert await ledger.destination_state("other") == DestinationState()


async def test_a_paused_destination_says_until_when_and_why(ledger: Ledger) -> None:
    await ledger.disable("crm", "verify the sender", T)
    await ledger.pause("crm", T + 30, T, "5 attempts in a row failed")
    await ledger.pause("crm", T + 60, T, "it still fails")
    assert await ledger.destination_state("crm") == DestinationState("verify the sender", T + 60, "it still fails")


async def test_what_is_held_is_finished_until_it_is_released_and_then_due(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.settle(claim, held(T, "verify the sender"))
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    assert await ledger.due(T + 10 * LEASE, 10) == []
    assert await ledger.release("crm", T + 60) == 1
    assert await ledger.destination_state("crm") == DestinationState()
    (row,) = await ledger.due(T + 60, 10)
    fence = await ledger.postpone(KEY, row.fence, T + 60, T + 660)
    assert isinstance(await ledger.claim(DELIVERY, MESSAGE, T + 60, LEASE, fence), Claimed)


async def test_what_may_have_been_accepted_stays_held_until_an_operator_releases_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp_ledger, "HELD_AT_ONCE", 2)
    unknown = Settlement(rules.HELD, T, "accepted or not: unknown", attempt("unknown"), needs_release=True)
    for number in range(9):
        await settled(ledger, delivery(number), held() if number % 3 == 1 else unknown, T + number)
    await ledger.disable("crm", "verify the sender", T)
    assert [await ledger.release("crm", T + 60) for _ in range(2)] == [3, 0]
    assert await ledger.destination_state("crm") == DestinationState()
    assert len(await ledger.rows(10, state=rules.HELD)) == 6
    assert [await ledger.release("crm", T + 60, releases_unknown=True) for _ in range(2)] == [6, 0]
    assert len(await ledger.due(T + 60, 10)) == 9


# What operators do


async def test_a_reopened_delivery_is_claimed_for_the_first_attempt_of_the_next_generation(ledger: Ledger) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T + 60) == 1
    again = await claimed(ledger, T + 60)
    assert (again.row.generation, again.row.attempt_number, again.row.crashes) == (1, 1, 0)


async def test_a_row_says_which_generation_is_the_first_since_it_was_delivered(ledger: Ledger) -> None:
    """However often it is reopened, and although it keeps its newest attempts only."""
    outcomes: list[Callable[[float], Settlement]] = [failed, done, failed, done, failed, failed]
    since = []
    for number, outcome in enumerate(outcomes):
        claim = await claimed(ledger, T + number)
        since.append(claim.row.undelivered_since)
        assert await ledger.settle(claim, outcome(T + number))
        await ledger.reopen(KEY, T + number)
    assert since == [0, 0, 2, 2, 4, 4]
    assert (await the_row(ledger)).undelivered_since == 4


async def test_a_delivery_that_is_not_finished_is_not_reopened(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.reopen(KEY, T) is None
    assert await ledger.settle(claim, held())
    assert await ledger.reopen(KEY, T) is None


async def test_one_replay_reopens_a_delivery_once_and_the_next_replay_again(ledger: Ledger) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T, "replay-1") == 1
    again = await claimed(ledger)
    assert await ledger.settle(again, failed())
    assert await ledger.reopen(KEY, T, "replay-1") is None
    assert await ledger.reopen(KEY, T, "replay-2") == 2
    assert (await the_row(ledger)).replays == ("replay-1", "replay-2")


async def test_rows_come_newest_first_and_by_what_was_asked_for(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        await ledger.claim(delivery(number, f"d{number % 2}"), MESSAGE, T + number, LEASE)
    await settled(ledger, delivery(3, "d1"), failed(T), T + 3 + LEASE)
    assert [row.event_id for row in await ledger.rows(10)] == ["e3", "e2", "e1"]
    assert [row.event_id for row in await ledger.rows(2)] == ["e3", "e2"]
    assert [row.event_id for row in await ledger.rows(10, event_id="e2")] == ["e2"]
    assert [row.event_id for row in await ledger.rows(10, state="dead_lettered")] == ["e3"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1")] == ["e3", "e1"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1", state="attempted")] == ["e1"]


async def test_a_forgotten_delivery_is_never_claimed_again_and_holds_nothing(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, held())
    forgotten = await ledger.forget(KEY, T + 60)
    assert forgotten
    assert (forgotten.state, forgotten.reason, forgotten.message) == ("dead_lettered", "forgotten", b"")
    assert await ledger.release("crm", T + 60) == 0
    assert isinstance(await plain_claim(ledger, T + 60), Finished)
    assert await ledger.forget(KEY, T + 120) == forgotten
    assert await ledger.forget("unknown", T) is None


async def test_what_became_of_a_forgotten_delivery_stays_but_for_answers(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, failed(T, "mail_rejected: no Ada", "550 no Ada"))
    await ledger.forget(KEY, T + 60)
    row = await the_row(ledger)
    assert (row.state, row.reason, row.answer, row.updated_at) == ("dead_lettered", "mail_rejected", "", T)
    [attempt] = row.attempts
    assert (attempt.outcome, attempt.reason, attempt.answer) == ("failed", "", "")


ONE, OTHER = f"customers:acme:ep_{'1' * 20}", f"customers:acme:ep_{'2' * 20}"
ALIKE = ("customers", "customers:acme", f"customers:acme:ep_{'1' * 19}", f"customer:acme:ep_{'1' * 20}",
         f"customers:acm:ep_{'1' * 20}", f"customers:acme.eu:ep_{'1' * 20}")  # fmt: skip
"""Names whose deliveries are not those of ONE, two of which begin as it does."""


async def add(ledger: Ledger, destination: str, number: int, at: float, settlement: Settlement | None = None) -> str:
    claim = await ledger.claim(delivery(number, destination), MESSAGE, at, LEASE)
    assert isinstance(claim, Claimed)
    if settlement:
        assert await ledger.settle(claim, settlement)
    return claim.row.key


async def pages(ledger: Ledger, destination: str, limit: int, state: str | None = None) -> list[LedgerRow]:
    found: list[LedgerRow] = []
    while True:
        before = (found[-1].created_at, found[-1].key) if found else None
        page = await ledger.rows(limit, destination=destination, state=state, before=before)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found


def in_order(keys: list[tuple[float, str]]) -> list[str]:
    return [key for _, key in sorted(keys, reverse=True)]


async def test_an_endpoints_deliveries_are_read_page_by_page_and_those_of_one_moment_too(ledger: Ledger) -> None:
    moments = [T, T, T, T, T + 1, T + 1.000001, T + 2, T + 2, T + 2]
    made = [(at, await add(ledger, ONE, number, at)) for number, at in enumerate(moments)]
    for number, name in enumerate((OTHER, *ALIKE)):
        await add(ledger, name, 100 + number, T + 1)
    for limit in (1, 2, 4, 9, 50):
        assert [row.key for row in await pages(ledger, ONE, limit)] == in_order(made)


async def test_an_endpoints_deliveries_in_a_state_are_read_page_by_page(ledger: Ledger) -> None:
    settlements = {rules.DELIVERED: done(), rules.DEAD_LETTERED: failed(), rules.RETRY_SCHEDULED: later(T + 60),
                   rules.HELD: held(), rules.ATTEMPTED: None}  # fmt: skip
    made: dict[str, list[tuple[float, str]]] = {}
    for number in range(15):
        [*states] = settlements
        settlement = settlements[state := states[number % 5]]
        at = T + number // 3
        made.setdefault(state, []).append((at, await add(ledger, ONE, number, at, settlement)))
    await add(ledger, OTHER, 100, T, failed())
    for name, keys in made.items():
        assert [row.key for row in await pages(ledger, ONE, 2, name)] == in_order(keys)


@pytest.mark.parametrize("name", [ONE, "customers"])
async def test_names_that_begin_alike_are_disabled_paused_and_released_by_themselves(ledger: Ledger, name: str) -> None:
    others = [each for each in (ONE, OTHER, *ALIKE) if each != name]
    keys = {each: await add(ledger, each, number, T, held()) for number, each in enumerate((*others, name))}
    await ledger.disable(name, "410", T)
    await ledger.pause(name, T + 60, T, "it fails")
    assert [await ledger.destination_state(each) for each in others] == [DestinationState()] * len(others)
    assert await ledger.destination_state(name) == DestinationState("410", T + 60, "it fails")
    for each, key in keys.items():
        assert [row.key for row in await ledger.rows(10, destination=each)] == [key]
        assert [row.key for row in await ledger.rows(10, destination=each, state=rules.HELD)] == [key]
    assert await ledger.release(name, T) == 1
    assert await ledger.destination_state(name) == DestinationState()
    assert [row.key for row in await ledger.due(T, 10)] == [keys[name]]


async def test_a_delivery_is_reopened_only_in_the_states_that_are_asked_for(ledger: Ledger) -> None:
    failed_only: frozenset[DeliveryState] = frozenset({rules.DEAD_LETTERED})
    await finished(ledger)
    assert await ledger.reopen(KEY, T, "r1", failed_only) is None
    assert await ledger.reopen(KEY, T, "r1", frozenset({rules.DELIVERED})) == 1
    assert await ledger.settle(await claimed(ledger), failed())
    assert await ledger.reopen(KEY, T, "r1", failed_only) is None, "this replay has reopened it before"
    assert await ledger.reopen(KEY, T, "r2", failed_only) == 2
    assert await ledger.reopen(KEY, T, "r3", frozenset({rules.CLAIMED})) is None, "it is not finished"


async def test_a_failed_delivery_that_is_sent_again_is_no_longer_listed_as_failed(ledger: Ledger) -> None:
    key = await add(ledger, ONE, 1, T, failed())
    assert await ledger.reopen(key, T, "r1", frozenset({rules.DEAD_LETTERED})) == 1
    assert await ledger.rows(10, destination=ONE, state=rules.DEAD_LETTERED) == []
    assert await add(ledger, ONE, 1, T, done()) == key
    assert [row.key for row in await ledger.rows(10, destination=ONE, state=rules.DELIVERED)] == [key]


async def test_all_deliveries_of_an_event_are_found_however_many_endpoints_it_had(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store answers a thousand at a time."""
    monkeypatch.setattr(ledger_documents, "DELIVERIES_AT_ONCE", 4)
    keys = [await add(ledger, f"customers:acme:ep_{number:020}", 1, T + number) for number in range(8)]
    await add(ledger, ONE, 2, T)
    assert [row.key for row in await ledger.rows(1_000, event_id="e1")] == keys[::-1]
    assert [row.key for row in await ledger.rows(3, event_id="e1")] == keys[:4:-1]
    name = f"customers:acme:ep_{2:020}"
    assert [row.key for row in await ledger.rows(3, event_id="e1", destination=name)] == [keys[2]]


async def test_one_delivery_of_an_event_is_found_by_its_key_with_its_attempts(ledger: Ledger) -> None:
    key, waiting = await add(ledger, ONE, 1, T, done()), await add(ledger, OTHER, 1, T, later(T + 60))
    found = [await ledger.row("e1", each) for each in (key, waiting)]
    for row, name in zip(found, (ONE, OTHER), strict=True):
        assert [row] == await ledger.rows(1, event_id="e1", destination=name)
    assert [len(row.attempts) for row in found if row] == [1, 1]
    assert [await ledger.row(*each) for each in (("e2", key), ("e1", "f" * 64))] == [None, None]
