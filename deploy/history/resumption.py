"""Resuming a destination: the deliveries that a pause or a fault has stopped are attempted soon."""

from dataclasses import dataclass
from typing import Final

from functions.notify.waiting.due import waits_for_slot
from shared import ledger_rules
from shared.ledger import Ledger, Place

NOTICE_SECONDS: Final = 10.0
"""The interval at which running functions read the state of a destination. They may use an older state until then."""
HASTENED_AT_ONCE: Final = 1_000
"""The number of waiting deliveries that a resume reads and makes due in one step."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The deliveries of a resumed destination: `released` were held, `hastened` waited for their next attempt.

    They are due `delay_seconds` later, because running functions still use the pause that they have read.
    `keep_waiting` others keep their own wait, such as that of a digest or of quiet hours. `stays_held`: others stay
    held, because they may have been accepted.
    """

    released: int
    hastened: int
    delay_seconds: float
    keep_waiting: int = 0
    stays_held: bool = False


async def resume_destination(ledger: Ledger, name: str, now: float) -> Resumed:
    """Let the destination take deliveries again, and make the held and the waiting deliveries due. Raises Temporary.

    A delivery whose last attempt may have been accepted keeps its wait, which gives the destination time to finish, or
    stays held. One that waits in a digest, or for its turn in the queue of a rate, keeps its wait too.
    """
    paused_until = (await ledger.destination_state(name)).paused_until
    delay_seconds = NOTICE_SECONDS if paused_until is not None and paused_until > now else 0.0
    due_at = now + delay_seconds
    released = await ledger.release(name, due_at)
    hastened = keep_waiting = 0
    before: Place | None = None
    while True:
        rows = await ledger.rows(HASTENED_AT_ONCE, destination=name, state=ledger_rules.RETRY_SCHEDULED, before=before)
        without_own_wait = [row for row in rows if not (row.unknown_count or row.group or waits_for_slot(row))]
        keep_waiting += len(rows) - len(without_own_wait)
        due_later = [row for row in without_own_wait if row.retry_at is not None and row.retry_at > due_at]
        new_fences = await ledger.postpone_all([(row.key, row.fence, due_at) for row in due_later], now)
        hastened += sum(isinstance(fence, int) for fence in new_fences)  # the others were changed by somebody else
        if len(rows) < HASTENED_AT_ONCE:
            break
        before = rows[-1].created_at, rows[-1].key
    held = await ledger.rows(1, destination=name, state=ledger_rules.HELD)
    return Resumed(released, hastened, delay_seconds, keep_waiting, stays_held=bool(held))
