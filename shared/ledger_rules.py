"""The ledger's protocol: what each request makes of a row. Every ledger decides by these and only stores the answer.

    claimed → attempted → delivered | retry_scheduled | held | dead_lettered
    retry_scheduled → claimed             by the sweep's own message only
    held → retry_scheduled                when the destination is released
    delivered, dead_lettered → claimed    when an operator reopens it

A rule answers the row as it then is (the same object where nothing changes), or None where the request is rejected.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from shared.delivery import Delivery
from shared.ledger import Busy, Claim, Claimed, Conflict, Finished, LedgerRow, Waiting
from shared.outcomes import DeliveryState

CLAIMED: Final[DeliveryState] = "claimed"
ATTEMPTED: Final[DeliveryState] = "attempted"
DELIVERED: Final[DeliveryState] = "delivered"
DEAD_LETTERED: Final[DeliveryState] = "dead_lettered"
RETRY_SCHEDULED: Final[DeliveryState] = "retry_scheduled"
HELD: Final[DeliveryState] = "held"

Rule: TypeAlias = Callable[[LedgerRow], LedgerRow | None]

KEEP_SECONDS: Final = 45 * 86_400.0
"""A delivery that is final is forgotten so long after it was last written."""

FINAL: Final = frozenset({DELIVERED, DEAD_LETTERED})
LEASED: Final = frozenset({CLAIMED, ATTEMPTED})


def new_row(delivery: Delivery, key: str, message: bytes, now: float) -> LedgerRow:
    """Return the row of a delivery that nobody has claimed yet: its lease is over at once."""
    return LedgerRow(
        key=key,
        event_id=delivery.event.origin,
        route=delivery.route,
        destination=delivery.destination,
        state=CLAIMED,
        fence=0,
        generation=0,
        attempt_number=0,
        retry_at=None,
        reason="",
        answer="",
        created_at=now,
        updated_at=now,
        message=message,
        payload_hash=delivery.event.payloadhash,
        lease_until=now,
    )


def claim(
    row: LedgerRow, payload_hash: str, message: bytes, now: float, lease_seconds: float, due_fence: int | None
) -> tuple[Claim, LedgerRow]:
    if row.payload_hash != payload_hash:
        return Conflict(), row
    if row.state in FINAL or row.state == HELD:
        return Finished(), row
    if row.state in LEASED and now < row.lease_until:
        return Busy(), row
    if row.state == RETRY_SCHEDULED and row.fence != due_fence:
        return Waiting(row.retry_at or now), row
    crashes = row.crashes + (row.state == ATTEMPTED)
    unknown_count = row.unknown_count + (row.state == ATTEMPTED)
    taken = replace(
        row,
        state=CLAIMED,
        fence=row.fence + 1,
        retry_at=None,
        crashes=crashes,
        unknown_count=unknown_count,
        updated_at=now,
        lease_until=now + lease_seconds,
        message=message,
    )
    answer = Claimed(taken.fence, taken.attempt_number + 1, crashes > 0, taken.generation, crashes, unknown_count)
    return answer, taken


def attempted(row: LedgerRow, fence: int, now: float) -> LedgerRow | None:
    if row.fence != fence or now >= row.lease_until:
        return None
    if row.state == ATTEMPTED:  # the write came twice
        return row
    if row.state != CLAIMED:
        return None
    # The lease began when the row was last written: as long again from now, so that no attempt outlives it.
    lease_until = now + (row.lease_until - row.updated_at)
    return replace(row, state=ATTEMPTED, attempt_number=row.attempt_number + 1, updated_at=now, lease_until=lease_until)


def give_back(row: LedgerRow, fence: int, now: float) -> LedgerRow | None:
    if row.fence != fence or row.state not in LEASED:
        return None
    number = row.attempt_number - (row.state == ATTEMPTED)
    return replace(row, state=CLAIMED, attempt_number=number, updated_at=now, lease_until=now)


def done(row: LedgerRow, fence: int, now: float, answer: str) -> LedgerRow | None:
    return _finished(row, fence, now, DELIVERED, "", answer) if row.state != CLAIMED else None


def failed(row: LedgerRow, fence: int, now: float, reason: str, answer: str) -> LedgerRow | None:
    return _finished(row, fence, now, DEAD_LETTERED, reason, answer)


def hold(row: LedgerRow, fence: int, now: float, reason: str, answer: str) -> LedgerRow | None:
    return _finished(row, fence, now, HELD, reason, answer)


def retry_at(
    row: LedgerRow, fence: int, now: float, at: float, reason: str, answer: str, *, is_unknown: bool = False
) -> LedgerRow | None:
    """Schedule the next attempt. From `claimed` no attempt was made, so an unknown outcome before it stays unknown."""
    crashes = row.crashes if row.state == CLAIMED else 0
    finished = _finished(row, fence, now, RETRY_SCHEDULED, reason, answer)
    if finished is None or finished is row:
        return finished
    unknown_count = row.unknown_count + 1 if is_unknown else finished.unknown_count
    return replace(finished, retry_at=at, crashes=crashes, unknown_count=unknown_count)


def _finished(
    row: LedgerRow, fence: int, now: float, state: DeliveryState, reason: str, answer: str
) -> LedgerRow | None:
    if row.fence != fence:
        return None
    if row.state == state:  # the write came twice
        return row
    if row.state not in LEASED:
        return None
    unknown_count = row.unknown_count if row.state == CLAIMED else 0
    return replace(
        row, state=state, reason=reason, answer=answer, crashes=0, unknown_count=unknown_count, updated_at=now
    )


def is_due(row: LedgerRow, now: float) -> bool:
    return row.state == RETRY_SCHEDULED and row.retry_at is not None and row.retry_at <= now


def postpone(row: LedgerRow, fence: int, now: float, at: float) -> LedgerRow | None:
    if row.fence != fence or row.state != RETRY_SCHEDULED:
        return None
    return replace(row, fence=row.fence + 1, retry_at=at, updated_at=now)


def reopen(row: LedgerRow, now: float, replay: str) -> LedgerRow | None:
    if row.state not in FINAL or (replay and replay in row.replays):
        return None
    return replace(
        row,
        state=CLAIMED,
        fence=row.fence + 1,
        generation=row.generation + 1,
        attempt_number=0,
        reason="",
        answer="",
        unknown_count=0,
        updated_at=now,
        lease_until=now,
        replays=(*row.replays, replay) if replay else row.replays,
    )


def release(row: LedgerRow, now: float) -> LedgerRow | None:
    if row.state != HELD:
        return None
    return replace(row, state=RETRY_SCHEDULED, fence=row.fence + 1, retry_at=now, updated_at=now)
