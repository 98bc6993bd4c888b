"""When a delivery is tried again: the schedule of retries, and the message that starts one.

The same attempt always waits the same time. The ledger's `retry_at` is the truth, and a sweep publishes what is due.
Where the bus can keep a message back, a short wait has a message of its own (`start_timer`), because the next sweep may
come a minute later. Both carry the fence of the row: a message that is lost costs a sweep, and one that comes twice
finds another fence and does nothing.
"""

import hashlib
from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from shared.delivery import DELIVERY_TYPE
from shared.errors import Temporary
from shared.event import Event
from shared.journal import AttemptEntry
from shared.ledger import Claimed, Ledger, LedgerRow
from shared.ports import DELIVERIES, Bus, BusMessage, Clock
from shared.times import unix_seconds

DEFAULT_RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400, 86_400)
"""The default waits: ten retries over 99 hours, close together at first."""
DIGEST_RETRY_SECONDS: Final = (5, 300, 1_800, *[3_600] * 99)
"""The default waits of a destination with digests: each hour over the same time, because what comes later waits too."""
JITTER: Final = 0.2
UNKNOWN_SECONDS: Final = 300.0
"""The least wait after an attempt whose outcome is unknown: a slow destination gets time to finish."""
MAX_UNKNOWN: Final = 3
"""After this many in a row, a destination that does not recognise a repeat gets no further attempt."""
MAX_ASKED_SECONDS: Final = 86_400.0
"""The longest wait that a destination can ask for: it may have erred, or be hostile."""
DUE: Final = "due"
"""The attribute of a message that starts a retry: the fence of the row whose time has come."""
TIMER_SECONDS: Final = 60.0
"""The longest wait that has a timer of its own where the bus has delays: the sweep comes each minute."""
SLOTS_AHEAD_SECONDS: Final = 1.0
"""So long before its slot a delivery is published: it waits for it in notify, which is more exact."""
PURGE_EVERY_SECONDS: Final = 3_600.0
BACK_SECONDS: Final = 600.0
"""How far before the end of the last complete sweep the next one begins: longer than an outcome takes to be written."""


def next_retry_at(
    retry_seconds: Sequence[float],
    attempt_number: int,
    delivery_id: str,
    now: float,
    after_seconds: float | None = None,
) -> float | None:
    """Return the time of the attempt after number `attempt_number`; None at the schedule's end.

    The schedule's wait and the destination's `after_seconds`, up to a day, are both lower bounds.
    """
    if attempt_number > len(retry_seconds):
        return None
    wait = retry_seconds[attempt_number - 1]
    if after_seconds is not None and after_seconds > wait:
        wait = max(wait, min(after_seconds, MAX_ASKED_SECONDS))
    return now + spread(wait, delivery_id, attempt_number)


def number_in_schedule(attempts: Sequence[AttemptEntry], attempt_number: int) -> int:
    """Return the attempt's number since the delivery was last held: resumed by an operator, it has a whole schedule.

    `attempts` are the earlier ones, of earlier generations too.
    """
    previous = attempt_number - 1
    earlier_attempts = attempts[-previous:] if previous else ()
    for count, attempt in enumerate(reversed(earlier_attempts), start=1):
        if attempt.outcome == "held":
            return count
    return attempt_number


def expires_at(event: Event, expires_after_seconds: float) -> float:
    """Return the time from which on the event is not delivered any more."""
    try:
        return unix_seconds(event.receivedat) + expires_after_seconds
    except ValueError:  # not as receive writes it
        return inf


def unknown_wait_seconds(unknown_count: int) -> float:
    """Return the least wait after that many attempts in a row whose outcome is unknown: it doubles, up to a day."""
    return min(UNKNOWN_SECONDS * 2.0 ** min(unknown_count - 1, 20), MAX_ASKED_SECONDS)


def spread(wait_seconds: float, delivery_id: str, attempt_number: int) -> float:
    """Return the wait and up to a fifth more, so that deliveries that failed together do not retry together."""
    digest = hashlib.sha256(f"{delivery_id}:{attempt_number}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return wait_seconds * (1 + JITTER * share)


async def start_timer(bus: Bus, clock: Clock, claim: Claimed, retry_at: float, has_slot: bool) -> None:
    """Publish the delivery's next message, to arrive at `retry_at`, where the bus has delays and the wait is short."""
    wait = retry_at - clock.now()
    if wait > min(TIMER_SECONDS, bus.max_delay_seconds) or not bus.max_delay_seconds:
        return
    row = claim.row._replace(retry_at=retry_at, slot_at=has_slot * retry_at, message=claim.message)
    message = due_message(row, row.fence, retry_at - wait)
    try:
        await bus.publish(DELIVERIES, [message])
    except Temporary:
        return  # the outcome is recorded, and the sweep finds it


def waits_for_slot(row: LedgerRow) -> bool:
    """Return whether the row is due at its slot. What was moved since is due at another time."""
    return bool(row.slot_at) and row.slot_at == row.retry_at


def due_message(row: LedgerRow, fence: int, now: float) -> BusMessage:
    """Return the message that starts the retry. Where the bus has delays, it comes at its time, or before its slot."""
    names = {"ce-id": row.key, "ce-type": DELIVERY_TYPE, "ce-source": f"/routes/{row.route}"}
    wait = (row.retry_at or now) - now - (SLOTS_AHEAD_SECONDS if waits_for_slot(row) else 0.0)
    return BusMessage(row.message, {**names, DUE: str(fence)}, max(0.0, wait))


class Wait(NamedTuple):
    """The decision that a delivery is not tried before `until`, in Unix seconds. `reason` is for people.

    has_slot  that time is reserved for the delivery, which its cap lets pass then
    gathers   the delivery waits for a digest, at a destination that gathers what is over its rate
    """

    until: float
    reason: str
    has_slot: bool = False
    gathers: bool = False


async def move_rows(
    ledger: Ledger, rows: Sequence[LedgerRow], now: float, until: float
) -> tuple[list[tuple[LedgerRow, int]], list[Temporary]]:
    """Postpone the rows. Return those that nobody else moved, each with its new fence, and the faults of others."""
    fences = await ledger.postpone_all([(row.key, row.fence, until) for row in rows], now)
    moved = [(row, fence) for row, fence in zip(rows, fences, strict=True) if isinstance(fence, int)]
    return moved, [fence for fence in fences if isinstance(fence, Temporary)]
