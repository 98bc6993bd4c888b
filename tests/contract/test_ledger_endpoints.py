"""Deliveries to endpoints of subscribers, in every implementation of the Ledger port and in its fake: read page by
page, and never taken for those of another endpoint or of the configured destination."""

import pytest

from shared import ledger_rules as rules
from shared.cloud.gcp import ledger as gcp_ledger
from shared.ledger import Claimed, DestinationState, Ledger, LedgerRow, Settlement
from shared.outcomes import DeliveryState
from tests.contract.claims import KEY, LEASE, MESSAGE, T, claimed, delivery, done, failed, finished, held, later

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


async def test_a_configured_destinations_deliveries_are_read_page_by_page(ledger: Ledger) -> None:
    made = [(T + number, await add(ledger, "customers", number, T + number, done())) for number in range(5)]
    await add(ledger, ONE, 100, T)
    for state in (None, rules.DELIVERED):
        assert [row.key for row in await pages(ledger, "customers", 2, state)] == in_order(made)


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
    monkeypatch.setattr(gcp_ledger, "DELIVERIES_AT_ONCE", 4)
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
