"""Due deliveries: the search for them, the message that starts the next attempt, and the timer of a short wait.

The time in the ledger, `retry_at`, is the one that counts. A sweep finds the rows whose time has come, gives them a
later time and publishes them. It runs each minute. If the bus can delay a message, a short wait also has a delayed
message, its timer, so that the next attempt does not have to wait for the sweep (`start_timer`).

Each message has the fence of its row, a number that changes when the row is claimed or moved. If a message is lost, a
sweep publishes another one. If it comes twice, the second one has an old fence and does nothing.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from shared import delivery, errors, ports
from shared.ledger import Claimed, Ledger, LedgerRow

DUE: Final = "due"
"""The attribute of a message that starts the next attempt. Its value is the fence of the row."""
TIMER_SECONDS: Final = 60.0
"""The longest wait that has a timer. A sweep comes each minute, so a longer wait needs none."""
SLOTS_AHEAD_SECONDS: Final = 1.0
"""A delivery with a slot is published so long before it. It waits for the slot in notify, which is more exact."""
BACK_SECONDS: Final = 600.0
"""How far before the end of the last complete sweep the next sweep begins to look for due rows.

A row can already be due when it is written. Writing an outcome takes less time than this.
"""
PAGE_ROWS: Final = 200
"""The rows of a page in `due_pages`."""


def waits_for_slot(row: LedgerRow) -> bool:
    """Return whether the row is due at its slot. If the row was moved since, it is due at another time."""
    return bool(row.slot_at) and row.slot_at == row.retry_at


def due_message(row: LedgerRow, fence: int, now: float) -> ports.BusMessage:
    """Return the message that starts the row's next attempt, with the delay until it is due.

    If the row waits for its slot, the message comes SLOTS_AHEAD_SECONDS before. A bus without delays ignores the delay.
    """
    attributes = {
        "ce-id": row.key,
        "ce-type": delivery.DELIVERY_TYPE,
        "ce-source": f"/routes/{row.route}",
        DUE: str(fence),
    }
    publish_at = row.retry_at or now
    if waits_for_slot(row):
        publish_at -= SLOTS_AHEAD_SECONDS
    return ports.BusMessage(row.message, attributes, max(0.0, publish_at - now))


async def start_timer(bus: ports.Bus, clock: ports.Clock, claim: Claimed, retry_at: float, has_slot: bool) -> None:
    """Publish the message that starts the next attempt at `retry_at`, if the bus has delays and the wait is short.

    `has_slot`: the time is a slot that the destination's rate has reserved for the delivery.
    """
    now = clock.now()
    bus_has_delays = bus.max_delay_seconds > 0
    longest_wait = min(TIMER_SECONDS, bus.max_delay_seconds)
    if not bus_has_delays or retry_at - now > longest_wait:
        return
    slot_at = retry_at if has_slot else 0.0
    row = claim.row._replace(retry_at=retry_at, slot_at=slot_at, message=claim.message)
    try:
        await bus.publish(ports.DELIVERIES, [due_message(row, row.fence, now)])
    except errors.Temporary:
        return  # the outcome is recorded, and the sweep finds it


async def move_rows(
    ledger: Ledger, rows: Sequence[LedgerRow], now: float, until: float
) -> tuple[list[tuple[LedgerRow, int]], list[errors.Temporary]]:
    """Move the rows to `until`. Return those that were moved, each with its new fence, and the errors of the others.

    A row that another sweep moved first is in neither list.
    """
    fences = await ledger.postpone_all([(row.key, row.fence, until) for row in rows], now)
    moved = [(row, fence) for row, fence in zip(rows, fences, strict=True) if isinstance(fence, int)]
    return moved, [fence for fence in fences if isinstance(fence, errors.Temporary)]


async def due_pages(
    ledger: Ledger, until: float, since: float, page_rows: int = PAGE_ROWS
) -> AsyncIterator[list[LedgerRow]]:
    """Yield all rows that are due between `since` and `until`, oldest first, page by page. Raises Temporary.

    A page is read from the time of the last row before it, so it begins with rows that were seen. If all rows of a page
    are due at one time, the next page is twice as long, to get past that time.
    """
    seen: set[str] = set()
    limit = page_rows
    while True:
        rows = await ledger.due(until, limit + len(seen), since)
        page = [row for row in rows if row.key not in seen]
        if not page:
            return
        yield page
        last = page[-1].retry_at or since
        at_last = {row.key for row in page if row.retry_at == last}
        if last == since:
            limit *= 2
            seen |= at_last
        else:
            limit = page_rows
            seen = at_last
        since = last


async def due_rows(ledger: Ledger, until: float, since: float) -> AsyncIterator[LedgerRow]:
    """Yield the rows of `due_pages` one by one. Raises Temporary."""
    async for page in due_pages(ledger, until, since):
        for row in page:
            yield row
