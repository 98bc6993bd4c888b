"""Short waits: the bus itself keeps the message of a retry back, where it can, so that 5 s are not the next sweep's.

The ledger's `retry_at` stays the truth. The message carries the row's fence, as the sweep's does: a timer that is lost
costs a sweep, and one that comes twice, or after the sweep, finds another fence and does nothing.
"""

from typing import Final

from functions.notify.work import Notifier
from shared.delivery import DELIVERY_TYPE
from shared.errors import Temporary
from shared.ledger import Claimed, LedgerRow
from shared.ports import DELIVERIES, BusMessage

TIMER_SECONDS: Final = 60.0
"""The longest wait that has a timer of its own where the bus has delays: the sweep comes each minute."""
SLOTS_AHEAD_SECONDS: Final = 1.0
"""So long before its slot a delivery is published: it waits for it in notify, which is more exact."""


async def start_timer(notifier: Notifier, claim: Claimed, retry_at: float, has_slot: bool) -> None:
    """Publish the delivery's next message, to arrive at `retry_at`, where the bus has delays and the wait is short."""
    wait = retry_at - notifier.clock.now()
    if wait > min(TIMER_SECONDS, notifier.bus.max_delay_seconds) or not notifier.bus.max_delay_seconds:
        return
    row = claim.row._replace(retry_at=retry_at, slot_at=has_slot * retry_at, message=claim.message)
    message = due_message(row, row.fence, retry_at - wait)
    try:
        await notifier.bus.publish(DELIVERIES, [message])
    except Temporary:
        return  # the outcome is recorded, and the sweep finds it


def waits_for_slot(row: LedgerRow) -> bool:
    """Return whether the row is due at its slot. What was moved since is due at another time."""
    return bool(row.slot_at) and row.slot_at == row.retry_at


def due_message(row: LedgerRow, fence: int, now: float) -> BusMessage:
    """Return the message that starts the retry. Where the bus has delays, it comes at its time, or before its slot."""
    names = {"ce-id": row.key, "ce-type": DELIVERY_TYPE, "ce-source": f"/routes/{row.route}"}
    wait = (row.retry_at or now) - now - (SLOTS_AHEAD_SECONDS if waits_for_slot(row) else 0.0)
    return BusMessage(row.message, {**names, "due": str(fence)}, max(0.0, wait))
