"""The ledger's protocol: what each request makes of a row. Every ledger decides by these and only stores the answer.

    (new) → attempted → delivered | retry_scheduled | held | dead_lettered
    (new) → retry_scheduled               by `gather`: it waits in a group
    attempted → claimed                   once the lease is over: a suspect, whose attempt began and has no record
    claimed → attempted                   by `begin`; by the next claim where this one was given back
    retry_scheduled → attempted           by the sweep's own message only
    retry_scheduled → merged              when its group is closed
    held → retry_scheduled                when the destination is released; where the last attempt may have been
                                          accepted, only when an operator releases the delivery
    all that are not final → dead_lettered
                                          when an operator forgets its event
    delivered, dead_lettered, merged → claimed
                                          when an operator reopens it; the lease of this claim is over at once

A rule answers the row as it then is (the same object where nothing changes), or None if the request is rejected.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from shared import errors, journal
from shared.delivery import Delivery
from shared.event import RECOVERED
from shared.ledger import Busy, Claim, Claimed, Conflict, Finished, Gathered, LedgerRow, Settlement, Unclaimed, Waiting
from shared.outcomes import DeliveryState

CLAIMED: Final[DeliveryState] = "claimed"
ATTEMPTED: Final[DeliveryState] = "attempted"
DELIVERED: Final[DeliveryState] = "delivered"
DEAD_LETTERED: Final[DeliveryState] = "dead_lettered"
RETRY_SCHEDULED: Final[DeliveryState] = "retry_scheduled"
HELD: Final[DeliveryState] = "held"
MERGED: Final[DeliveryState] = "merged"
FORGOTTEN: Final[errors.PermanentCode] = "forgotten"
"""The reason of a delivery that was pending or held when its event was forgotten."""

Rule: TypeAlias = Callable[[LedgerRow], LedgerRow | None]

MAX_POSTPONED: Final = 1_000
"""How often a row may be postponed while it waits to be merged into a digest that has it already."""
MAX_ATTEMPTS: Final = 100
"""The newest attempts that a row keeps: two whole schedules."""
MAX_REPLAYS: Final = 200
"""The newest replays that a row knows: to send a delivery again has no limit, and a row has a largest size."""

FINAL: Final = frozenset({DELIVERED, DEAD_LETTERED, MERGED})
LEASED: Final = frozenset({ATTEMPTED, CLAIMED})


def new_row(
    delivery: Delivery,
    key: str,
    now: float,
    state: DeliveryState = CLAIMED,
    fence: int = 0,
    attempt_number: int = 0,
    lease_seconds: float = 0.0,
) -> LedgerRow:
    """Return the first row of a delivery. It is not claimed, unless the arguments after `now` say otherwise."""
    event = delivery.event
    generation = 0
    retry_at, reason, answer, message = None, "", "", b""
    # In the order of the fields: by their names, it takes almost twice as long, for each event.
    return LedgerRow(
        key, event.origin, delivery.route, delivery.destination, state, fence, generation, attempt_number, retry_at,
        reason, answer, now, now, message, event.claimed_hash, now + lease_seconds, merged=delivery.merged,
    )  # fmt: skip


def first_claim(delivery: Delivery, key: str, message: bytes, now: float, lease_seconds: float, fence: int) -> Claimed:
    """Claim a delivery that has no row, as most have none: `claim` of its `new_row`, in one step."""
    return Claimed(new_row(delivery, key, now, ATTEMPTED, fence, 1, lease_seconds), message)


def claim(
    row: LedgerRow,
    payload_hash: str,
    message: bytes,
    now: float,
    lease_seconds: float,
    due_fence: int | None,
    fence: int,
) -> tuple[Claim, LedgerRow]:
    """Decide about a claim. `fence` is drawn at random for each: a store that repeats a call finds its own claim."""
    if row.fence == fence and row.payload_hash == payload_hash:
        return Claimed(row, message), row
    if obstacle := _obstacle(row, payload_hash, now, due_fence):
        return obstacle, row
    if row.state == ATTEMPTED:
        row = _with_unrecorded_attempt(row, now)
    # A suspect's attempt may end the worker, so it begins by itself, while no other suspect's is under way.
    is_suspect = row.crashes > 0
    claimed = row._replace(
        state=CLAIMED if is_suspect else ATTEMPTED,
        fence=fence,
        attempt_number=row.attempt_number + (not is_suspect),
        retry_at=None,
        updated_at=now,
        lease_until=now + lease_seconds,
        group="",
    )
    return Claimed(claimed, message), claimed


def gather(
    row: LedgerRow, payload_hash: str, message: bytes, group: str, reason: str, now: float, at: float, fence: int
) -> tuple[Claim, LedgerRow]:
    """Decide about a delivery that is to wait in a group. `fence` is as in `claim`."""
    if row.fence == fence and row.payload_hash == payload_hash:
        return Gathered(), row
    if obstacle := _obstacle(row, payload_hash, now, None):
        return obstacle, row
    if row.state == ATTEMPTED:
        row = _with_unrecorded_attempt(row, now)
    gathered = row._replace(
        state=RETRY_SCHEDULED,
        fence=fence,
        retry_at=at,
        reason=reason,
        updated_at=now,
        message=message,
        group=group,
    )
    return Gathered(), gathered


def is_conflict(payload_hash: str, other_hash: str) -> bool:
    """Return whether two events with the same id conflict, by the `claimed_hash` of each.

    A recovered event and its original never conflict: whichever came first is delivered.
    """
    return payload_hash != other_hash and RECOVERED not in (payload_hash, other_hash)


def _obstacle(row: LedgerRow, payload_hash: str, now: float, due_fence: int | None) -> Unclaimed | None:
    """Return what keeps a message from changing the row; None if nothing does."""
    if is_conflict(row.payload_hash, payload_hash):
        return Conflict()
    if row.state in FINAL or row.state == HELD:
        return Finished()
    if row.state in LEASED and now < row.lease_until:
        return Busy()
    if row.state == RETRY_SCHEDULED and row.fence != due_fence:
        return Waiting(row.retry_at or now)
    return None


def _with_unrecorded_attempt(row: LedgerRow, now: float) -> LedgerRow:
    """Record an attempt whose lease ended without a record."""
    unrecorded = journal.AttemptEntry(
        delivery_id=row.key,
        event_id=row.event_id,
        route=row.route,
        destination=row.destination,
        attempt_number=row.attempt_number,
        started_at=row.updated_at,
        ended_at=now,
        outcome="unknown",
        reason=f"attempt {row.attempt_number} ended without a record of its outcome",
    )
    attempts = (*row.attempts, unrecorded)[-MAX_ATTEMPTS:]
    return row._replace(crashes=row.crashes + 1, unknown_count=row.unknown_count + 1, attempts=attempts)


def begin(row: LedgerRow, fence: int, now: float) -> LedgerRow | None:
    """Begin a suspect's attempt. Its lease is as long again from now, so that no attempt outlives it."""
    if row.fence != fence or now >= row.lease_until:
        return None
    if row.state == ATTEMPTED:  # the write came twice
        return row
    if row.state != CLAIMED:
        return None
    lease_until = now + (row.lease_until - row.updated_at)
    return row._replace(state=ATTEMPTED, attempt_number=row.attempt_number + 1, updated_at=now, lease_until=lease_until)


def give_back(row: LedgerRow, fence: int, now: float) -> LedgerRow | None:
    if row.fence != fence or row.state not in LEASED:
        return None
    number = row.attempt_number - (row.state == ATTEMPTED)
    return row._replace(state=CLAIMED, fence=row.fence + 1, attempt_number=number, updated_at=now, lease_until=now)


def settle(row: LedgerRow, claim: Claimed, settlement: Settlement) -> LedgerRow | None:
    """Settle a claim. Without an attempt, an unknown outcome of the previous attempt stays unknown until the next
    attempt.

    `row` is as it is stored, or as the claim left it.
    """
    if row.fence != claim.row.fence:
        return None
    if row.state == settlement.state:  # the write came twice
        return row
    if row.state not in LEASED:
        return None
    attempt, state = settlement.attempt, settlement.state
    is_unknown = attempt is not None and attempt.outcome == "unknown"
    number = row.attempt_number - (attempt is None and row.state == ATTEMPTED)
    answer = attempt.answer if attempt else ""
    message = b"" if state in FINAL else claim.message
    crashes = row.crashes if attempt is None and state == RETRY_SCHEDULED else 0
    unknown_count = row.unknown_count + is_unknown if attempt is None or is_unknown else 0
    slot_at = settlement.retry_at or 0.0 if settlement.has_slot else 0.0
    attempts = (*row.attempts, attempt)[-MAX_ATTEMPTS:] if attempt else row.attempts
    # In the order of the fields: by their names, or by `_replace`, it takes almost twice as long, for each event.
    return LedgerRow(
        row.key, row.event_id, row.route, row.destination, state, row.fence, row.generation, number,
        settlement.retry_at, settlement.reason, answer, row.created_at, settlement.now, message, row.payload_hash,
        row.lease_until, crashes, unknown_count, settlement.group, row.merged, row.replays, slot_at,
        row.undelivered_since, settlement.needs_release, attempts,
    )  # fmt: skip


def is_due(row: LedgerRow, now: float) -> bool:
    return row.state == RETRY_SCHEDULED and row.retry_at is not None and row.retry_at <= now


def postpone(row: LedgerRow, fence: int, now: float, at: float) -> LedgerRow | None:
    if row.fence != fence or row.state != RETRY_SCHEDULED:
        return None
    return row._replace(fence=row.fence + 1, retry_at=at, updated_at=now)


def merge(row: LedgerRow, fence: int, now: float, digest_id: str) -> LedgerRow | None:
    """Merge a waiting delivery. A row that was only postponed since its fence was read has a slightly higher one.

    Every other change draws its fence at random.
    """
    if row.state == MERGED and row.group == digest_id:  # the write came twice
        return row
    if row.state != RETRY_SCHEDULED or not 0 <= row.fence - fence <= MAX_POSTPONED:
        return None
    return row._replace(
        state=MERGED,
        fence=fence + MAX_POSTPONED + 1,  # higher than the row's, which a store need not read
        retry_at=None,
        reason=merged_reason(digest_id),
        updated_at=now,
        message=b"",
        group=digest_id,
    )


def merged_reason(digest_id: str) -> str:
    return f"merged into {digest_id}"


def reopen(row: LedgerRow, now: float, replay: str, only: frozenset[DeliveryState] | None = None) -> LedgerRow | None:
    if row.state not in (FINAL if only is None else FINAL & only) or (replay and replay in row.replays):
        return None
    return row._replace(
        state=CLAIMED,
        fence=row.fence + 1,
        generation=row.generation + 1,
        undelivered_since=row.generation + 1 if row.state == DELIVERED else row.undelivered_since,
        attempt_number=0,
        reason="",
        answer="",
        unknown_count=0,
        updated_at=now,
        lease_until=now,
        group="",
        replays=(*row.replays, replay)[-MAX_REPLAYS:] if replay else row.replays,
    )


def forget(row: LedgerRow, now: float) -> LedgerRow:
    """Erase what the row holds of its event. A delivery that is not final becomes dead-lettered and is never sent.

    Of its reason the code stays. An attempt that is under way finds another fence, so its outcome is not recorded.
    """
    is_final = row.state in FINAL
    forgotten = row._replace(
        message=b"",
        answer="",
        reason=row.reason.partition(":")[0] if is_final else FORGOTTEN,
        attempts=tuple(each._replace(reason="", answer="") for each in row.attempts),
    )
    if not is_final:
        fence = row.fence + 1
        return forgotten._replace(
            state=DEAD_LETTERED, fence=fence, retry_at=None, group="", needs_release=False, updated_at=now
        )
    return row if forgotten == row else forgotten


def release(row: LedgerRow, now: float, *, releases_unknown: bool) -> LedgerRow | None:
    if row.state != HELD or (row.needs_release and not releases_unknown):
        return None
    return row._replace(state=RETRY_SCHEDULED, fence=row.fence + 1, retry_at=now, updated_at=now, needs_release=False)
