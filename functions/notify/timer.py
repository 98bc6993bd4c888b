"""Short waits: the bus itself keeps the message of a retry back, where it can, so that 5 s are not the next sweep's.

The ledger's `retry_at` stays the truth. The message carries the row's fence, as the sweep's does: a timer that is lost
costs a sweep, and one that comes twice, or after the sweep, finds another fence and does nothing.
"""

from functions.notify.sweep import TIMER_SECONDS, due_message
from functions.notify.work import Notifier
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES


async def start_timer(notifier: Notifier, row: LedgerRow, retry_at: float, has_slot: bool) -> None:
    """Publish the delivery's next message, to arrive at `retry_at`, where the bus has delays and the wait is short."""
    wait = retry_at - notifier.clock.now()
    if wait > min(TIMER_SECONDS, notifier.bus.max_delay_seconds) or not notifier.bus.max_delay_seconds:
        return
    message = due_message(row._replace(retry_at=retry_at, slot_at=has_slot * retry_at), row.fence, retry_at - wait)
    try:
        await notifier.bus.publish(DELIVERIES, [message])
    except Temporary:
        return  # the outcome is recorded, and the sweep finds it
