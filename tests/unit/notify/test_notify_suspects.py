"""Deliveries that were cut off together come again together; only the one that ends the worker is given up on."""

import asyncio

from functions.notify.destination import Attempt
from shared.delivery import Delivered, Delivery, Outcome
from shared.ledger import LedgerRow
from tests.fakes.destinations import FakeDestinations
from tests.fakes.notifier import FakeNotifier, a_delivery

LEASE_IS_OVER = 60.0
POISON = a_delivery(1)
PEERS = (a_delivery(0), a_delivery(2))


class Fragile:
    """Ends its worker over the poison, while whatever else is being attempted has no answer yet."""

    dedupes_repeats = False

    def __init__(self) -> None:
        self.crashed = asyncio.Event()

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        if delivery == POISON:
            self.crashed.set()
        for _ in range(100):
            await asyncio.sleep(0)
        return Delivered("202")


async def one_life(notifier: FakeNotifier, fragile: Fragile) -> None:
    """A new worker takes all three at once, until it has finished or crashed."""
    notifier.clock.advance(LEASE_IS_OVER)
    notifier.start()
    fragile.crashed.clear()
    tasks = [asyncio.create_task(notifier.take(delivery)) for delivery in (PEERS[0], POISON, PEERS[1])]
    crash = asyncio.create_task(fragile.crashed.wait())
    finished = asyncio.create_task(asyncio.wait(tasks))
    await asyncio.wait({finished, crash}, return_when=asyncio.FIRST_COMPLETED)
    everything: list[asyncio.Task[object]] = [*tasks, finished, crash]
    for task in everything:
        task.cancel()
    await asyncio.wait(everything)  # all at once, as a process ends


async def rows_after(lives: int) -> dict[str, LedgerRow]:
    fragile = Fragile()
    notifier = FakeNotifier(destinations=FakeDestinations({"crm": fragile}))
    for _ in range(lives):
        await one_life(notifier, fragile)
    return {row.event_id: row for row in await notifier.ledger.rows(10)}


async def test_suspects_are_attempted_one_at_a_time_so_that_none_is_cut_off_with_another() -> None:
    rows = await rows_after(2)
    assert rows["e0"].state == "delivered"
    assert (rows["e1"].state, rows["e1"].crashes) == ("attempted", 1)
    assert (rows["e2"].state, rows["e2"].crashes) == ("claimed", 1)


async def test_the_poison_is_given_up_on_after_three_attempts_and_its_peers_are_delivered() -> None:
    rows = await rows_after(4)
    assert {name: row.state for name, row in rows.items()} == {
        "e0": "delivered",
        "e1": "dead_lettered",
        "e2": "delivered",
    }
    assert (rows["e1"].attempt_number, rows["e1"].reason) == (
        3,
        "crashed: 3 attempts in a row ended without a record; accepted or not: unknown",
    )
