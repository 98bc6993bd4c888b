"""The rules of the ledger: how each request changes a row. They are pure: the ledger of a platform stores the result.

`LedgerWrites` in shared/ledger_writes.py, the base class of these ledgers, applies the rules.

    (new) → attempted → delivered | retry_scheduled | held | dead_lettered
    (new) → retry_scheduled               by `gather`: the delivery waits in a group
    attempted → claimed                   by `give_back`, because nothing was sent; or once the lease is over: the
                                          delivery is then a suspect
    claimed → attempted                   by `begin`; by the next claim if this one was given back
    retry_scheduled → attempted           by the sweep's own message only
    retry_scheduled → merged              when its group is closed
    held → retry_scheduled                when the destination is released; if the last attempt may have been accepted,
                                          only when an operator releases the delivery
    all that are not final → dead_lettered
                                          when an operator forgets its event
    delivered, dead_lettered, merged → claimed
                                          when an operator reopens it; the lease of this claim is over at once

A row in `claimed` or `attempted` is leased to a worker until `lease_until`. After that, it is free for the next claim.
So a rule frees a row by `claimed` with a lease that is over.

A suspect is a delivery of which an attempt began and has no record: the attempt may have ended the worker.

A fence is a number that says which version of the row a request was made for. Each write is conditional on it. Most
requests give the row a new one, so that what was decided by the old row is not written: `claim` and `gather` a random
one, the others a higher one.

A rule returns the changed row, the same object if nothing changes, or None if the row does not allow the request. A
store may repeat a write whose answer was lost: a rule then finds the row as the first write left it, and returns the
same object.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from shared import errors, journal, ledger
from shared.delivery import Delivery
from shared.event import RECOVERED
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

Rule: TypeAlias = Callable[[ledger.LedgerRow], ledger.LedgerRow | None]
"""Takes the stored row. Returns the row to store, the same object if nothing changes, or None to reject the request."""

MAX_POSTPONED: Final = 1_000
"""How often a row may be postponed while it waits to be merged into a digest that has it already."""
MAX_ATTEMPTS: Final = 100
"""The number of newest attempts that a row keeps: those of two whole schedules."""
MAX_REPLAYS: Final = 200
"""The number of newest replays that a row keeps. A delivery may be replayed without a limit, and rows have a largest
size."""

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
) -> ledger.LedgerRow:
    """Return the first row of a delivery. By default it is free, as its lease is over at once."""
    event = delivery.event
    return ledger.LedgerRow(
        key=key,
        event_id=event.origin,
        route=delivery.route,
        destination=delivery.destination,
        state=state,
        fence=fence,
        generation=0,
        attempt_number=attempt_number,
        retry_at=None,
        reason="",
        answer="",
        created_at=now,
        updated_at=now,
        message=b"",
        payload_hash=event.claimed_hash,
        lease_until=now + lease_seconds,
        merged=delivery.merged,
    )


def claim(
    row: ledger.LedgerRow,
    *,
    payload_hash: str,
    message: bytes,
    now: float,
    lease_seconds: float,
    due_fence: int | None,
    fence: int,
) -> tuple[ledger.Claim, ledger.LedgerRow]:
    """Return the answer to a request to claim the delivery, and the row to store.

    `fence` is the row's new fence. It is random for each request, so that a store that repeats a request recognises its
    own claim. `due_fence` is the row's fence as the sweep's message states it; None for any other message.
    """
    if row.fence == fence and row.payload_hash == payload_hash:
        return ledger.Claimed(row, message), row
    if obstacle := _obstacle(row, payload_hash, now, due_fence):
        return obstacle, row
    if row.state == ATTEMPTED:
        row = _with_unrecorded_attempt(row, now)
    state, attempt_number = ATTEMPTED, row.attempt_number + 1
    if row.crashes > 0:
        # A suspect's attempt may end the worker. So it begins only by `begin`, while no other suspect's is under way.
        state, attempt_number = CLAIMED, row.attempt_number
    claimed = row._replace(
        state=state,
        fence=fence,
        attempt_number=attempt_number,
        retry_at=None,
        updated_at=now,
        lease_until=now + lease_seconds,
        group="",
    )
    return ledger.Claimed(claimed, message), claimed


def gather(
    row: ledger.LedgerRow, payload_hash: str, message: bytes, group: str, reason: str, now: float, at: float, fence: int
) -> tuple[ledger.Claim, ledger.LedgerRow]:
    """Return the answer to a request to let the delivery wait in a group until `at`, and the row to store.

    `fence` is as in `claim`.
    """
    if row.fence == fence and row.payload_hash == payload_hash:
        return ledger.Gathered(), row
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
    return ledger.Gathered(), gathered


def is_conflict(payload_hash: str, other_hash: str) -> bool:
    """Return whether two events with the same id conflict, by the `claimed_hash` of each.

    A recovered event and its original never conflict: whichever came first is delivered.
    """
    return payload_hash != other_hash and RECOVERED not in (payload_hash, other_hash)


def _obstacle(row: ledger.LedgerRow, payload_hash: str, now: float, due_fence: int | None) -> ledger.Unclaimed | None:
    """Return what keeps a message from changing the row; None if nothing does."""
    if is_conflict(row.payload_hash, payload_hash):
        return ledger.Conflict()
    if row.state in FINAL or row.state == HELD:
        return ledger.Finished()
    if row.state in LEASED and now < row.lease_until:
        return ledger.Busy()
    if row.state == RETRY_SCHEDULED and row.fence != due_fence:
        return ledger.Waiting(row.retry_at or now)
    return None


def _with_unrecorded_attempt(row: ledger.LedgerRow, now: float) -> ledger.LedgerRow:
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


def begin(row: ledger.LedgerRow, fence: int, now: float) -> ledger.LedgerRow | None:
    """Begin a suspect's attempt. The lease begins again, with the same length, so that no attempt outlasts it."""
    if row.fence != fence or now >= row.lease_until:
        return None
    if row.state == ATTEMPTED:  # the write came twice
        return row
    if row.state != CLAIMED:
        return None
    lease_until = now + (row.lease_until - row.updated_at)
    return row._replace(state=ATTEMPTED, attempt_number=row.attempt_number + 1, updated_at=now, lease_until=lease_until)


def give_back(row: ledger.LedgerRow, fence: int, now: float) -> ledger.LedgerRow | None:
    """Undo a claim before anything was sent: the next claim has the same attempt number."""
    if row.fence != fence or row.state not in LEASED:
        return None
    number = row.attempt_number - 1 if row.state == ATTEMPTED else row.attempt_number
    return row._replace(state=CLAIMED, fence=row.fence + 1, attempt_number=number, updated_at=now, lease_until=now)


def settle(row: ledger.LedgerRow, claim: ledger.Claimed, settlement: ledger.Settlement) -> ledger.LedgerRow | None:
    """Record the outcome of a claim. `row` is the stored row, or the row as the claim left it.

    If no attempt was made, the next attempt has the same number, and `unknown_count` stays. A suspect that waits then
    stays a suspect; in any other state it is none any more.
    """
    if row.fence != claim.row.fence:
        return None
    if row.state == settlement.state:  # the write came twice
        return row
    if row.state not in LEASED:
        return None
    attempt, state = settlement.attempt, settlement.state
    if attempt is None:
        number = row.attempt_number - 1 if row.state == ATTEMPTED else row.attempt_number
        answer = ""
        crashes = row.crashes if state == RETRY_SCHEDULED else 0
        unknown_count = row.unknown_count
        attempts = row.attempts
    else:
        number = row.attempt_number
        answer = attempt.answer
        crashes = 0
        unknown_count = row.unknown_count + 1 if attempt.outcome == "unknown" else 0
        attempts = (*row.attempts, attempt)[-MAX_ATTEMPTS:]
    message = b"" if state in FINAL else claim.message
    slot_at = settlement.retry_at if settlement.has_slot and settlement.retry_at is not None else 0.0
    return row._replace(
        state=state,
        attempt_number=number,
        retry_at=settlement.retry_at,
        reason=settlement.reason,
        answer=answer,
        updated_at=settlement.now,
        message=message,
        crashes=crashes,
        unknown_count=unknown_count,
        group=settlement.group,
        slot_at=slot_at,
        needs_release=settlement.needs_release,
        attempts=attempts,
    )


def is_due(row: ledger.LedgerRow, now: float) -> bool:
    return row.state == RETRY_SCHEDULED and row.retry_at is not None and row.retry_at <= now


def postpone(row: ledger.LedgerRow, fence: int, now: float, at: float) -> ledger.LedgerRow | None:
    """Move the time at which a waiting delivery is due."""
    if row.fence != fence or row.state != RETRY_SCHEDULED:
        return None
    return row._replace(fence=row.fence + 1, retry_at=at, updated_at=now)


def merge(row: ledger.LedgerRow, fence: int, now: float, digest_id: str) -> ledger.LedgerRow | None:
    """Make a waiting delivery part of a digest. `fence` is the row's fence when the digest was listed.

    The row may have been postponed since, which adds 1 to its fence each time, up to MAX_POSTPONED. Any other fence is
    that of a claim, and the row is not merged: a random fence is hardly ever so close.
    """
    if row.state == MERGED and row.group == digest_id:  # the write came twice
        return row
    times_postponed = row.fence - fence
    if row.state != RETRY_SCHEDULED or not 0 <= times_postponed <= MAX_POSTPONED:
        return None
    return row._replace(
        state=MERGED,
        # Higher than the row's own fence in any case, so that a store can write it without reading the row.
        fence=fence + MAX_POSTPONED + 1,
        retry_at=None,
        reason=merged_reason(digest_id),
        updated_at=now,
        message=b"",
        group=digest_id,
    )


def merged_reason(digest_id: str) -> str:
    return f"merged into {digest_id}"


def reopen(
    row: ledger.LedgerRow, now: float, replay: str, only: frozenset[DeliveryState] | None = None
) -> ledger.LedgerRow | None:
    """Begin the next generation of a final delivery, in one of the states `only`, unless this replay has done so.

    `replay` is the replay's id; empty if it has none, and so reopens the delivery each time.
    """
    if row.state not in (FINAL if only is None else FINAL & only) or (replay and replay in row.replays):
        return None
    return row._replace(
        state=CLAIMED,
        fence=row.fence + 1,
        generation=row.generation + 1,
        # A generation, and not a time.
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


def forget(row: ledger.LedgerRow, now: float) -> ledger.LedgerRow:
    """Erase what the row contains of its event. A delivery that is not final becomes dead-lettered, and is never sent.

    The code of its reason stays. The outcome of an attempt that is under way is not recorded: the fence has changed.
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


def release(row: ledger.LedgerRow, now: float, *, releases_unknown: bool) -> ledger.LedgerRow | None:
    """Make a held delivery due. One that may have been accepted stays held unless `releases_unknown`."""
    if row.state != HELD or (row.needs_release and not releases_unknown):
        return None
    return row._replace(state=RETRY_SCHEDULED, fence=row.fence + 1, retry_at=now, updated_at=now, needs_release=False)
