"""One attempt at a delivery: claim it, check whether it must wait or end without a call, call, and record the outcome.

These are the checks of a claimed delivery. They are made in this order, and the first one that applies decides:

    the last attempt left no record    its outcome is unknown: held or given up, unless a repeat is allowed
    the delivery has expired           a dead letter
    the destination is disabled        held
    the destination is paused          waits until the pause is over
    `to` names a person                a dead letter if nobody is found who has the address that is needed
    the destination gathers            waits for a digest, for the end of a burst or of quiet hours
    its circuit breaker is open        waits
    it has no place in this process    waits
    others compute for long            waits, if its own templates may compute for long, too
    its rate or in_flight is used up   waits for a slot

A delivery that waits has made no attempt. It waits also if its destination was called, and was so busy that nothing was
sent. A destination is called at most once for each message.

A suspect is a delivery whose last attempt left no record of its outcome, so it may have crashed the worker. Its row in
the ledger counts such attempts in a row as `crashes`.
"""

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from functions.notify import dead_letters, settle
from functions.notify.call import GRACE_SECONDS, attempt_entry, call_destination
from functions.notify.claims import claim_delivery
from functions.notify.destination import REPAIR, Attempt
from functions.notify.notifier import Nacked, Notifier, Result, Work
from functions.notify.registry import Target
from functions.notify.waiting import pauses
from functions.notify.waiting.schedule import Wait, spread
from shared import errors, journal, ledger, missing_paths, time_bound
from shared.delivery import Delivery, Failed, Outcome, RetryLater
from shared.push import Push

PEOPLE_SECONDS: Final = 60.0
"""How long deliveries to a person wait while the list of people cannot be read."""
BUSY_CODES: Final = frozenset({"attempt_timeout", "mail_queue_full", "queue_full"})
"""The codes of a destination that is so slow that nothing was sent. A nack would slow down the whole subscription."""
BUSY_SECONDS: Final = 5.0
BUSY_SHARE_OF_AGE: Final = 0.1
"""A delivery whose destination was too slow waits for this share of its age, and for at least BUSY_SECONDS."""
MAX_BUSY_AGE_SECONDS: Final = 3_600.0
"""From this age of a delivery on, a destination that was too slow counts as a failed attempt, so that a delivery to it
ends some day."""
SUSPECT_SECONDS: Final = 1.0
"""How long a suspect waits in the process for the previous suspect to end (see `_attempt_suspect`)."""
SUSPECT_WAIT_SECONDS: Final = 5.0
"""How long it waits in the ledger after that."""
COMPUTING_WAIT_SECONDS: Final = 5.0
"""How long a delivery waits in the ledger if the templates of other deliveries leave it no time to compute."""
MAX_CRASHES: Final = 3
"""After so many attempts in a row without a record, the delivery is given up. It probably ends the worker each time."""


class CompletedAttempt(NamedTuple):
    """An attempt that was made: its outcome, and its record in the ledger and in the journal.

    is_first  it was the first attempt at the delivery, and no pause of the destination came before it
    """

    outcome: Outcome
    entry: journal.AttemptEntry
    is_first: bool


async def claim_and_attempt(
    notifier: Notifier, push: Push, delivery: Delivery, target: Target, no_place: Wait | None = None
) -> Result:
    """Claim the delivery and attempt it once, unless it has to wait. Return once the ledger has the outcome.

    `no_place` is the wait of a delivery that got no place in this process; None if it has one.

    Raises Temporary. If nothing was sent, the claim is given back first.
    """
    work = await claim_delivery(notifier, push, delivery, target.configured.timeout_seconds)
    if isinstance(work, Result):
        return work
    if work.claim.row.crashes:
        return await _attempt_suspect(notifier, work, target, no_place)
    return await _attempt_and_settle(notifier, work, target, no_place)


async def _attempt_suspect(notifier: Notifier, work: Work, target: Target, no_place: Wait | None) -> Result:
    """Attempt a suspect once no other one is under way, or let it wait in the ledger if that takes too long.

    Suspects are attempted one at a time: otherwise a crash would also count against the harmless ones beside it.
    """
    try:
        await asyncio.wait_for(notifier.suspects.acquire(), SUSPECT_SECONDS)
    except TimeoutError:
        at = notifier.clock.now() + spread(SUSPECT_WAIT_SECONDS, work.delivery.id, 0)
        wait = Wait(at, "a delivery that may have ended the worker is tried first")
        return await settle.finish(notifier, work, target.configured, wait)
    try:
        return await _attempt_and_settle(notifier, work, target, no_place)
    finally:
        notifier.suspects.release()


async def _attempt_and_settle(notifier: Notifier, work: Work, target: Target, no_place: Wait | None) -> Result:
    """Attempt the claimed delivery unless it has to wait. Return once the ledger has what follows. Raises Temporary."""
    configured = target.configured
    outcome: Outcome | None = None
    try:
        attempted = await _attempt(notifier, work, target, no_place)
        if isinstance(attempted, Result):
            return attempted
        outcome, entry, is_first = attempted
        result = await settle.settle(notifier, work, target, outcome, entry)
        result.attempt_seconds = entry.ended_at - entry.started_at
        result.has_failed = pauses.destination_has_failed(outcome)
        if notifier.journal is not None:
            notifier.journal.note(entry)
        if target.health is not None:
            await target.health.note(outcome, entry.ended_at, is_first=is_first)
        return result
    finally:
        # `_enter_limits` entered these. If another check came first, these calls do nothing.
        if notifier.caps is not None:
            await notifier.caps.leave(work.delivery)
        await notifier.breakers.leave(configured, work.delivery, outcome)


async def _attempt(notifier: Notifier, work: Work, target: Target, no_place: Wait | None) -> CompletedAttempt | Result:
    """Attempt the delivery if nothing prevents it. Return the result if no attempt was made, or if it does not count.

    Raises Temporary after it gave the claim back.
    """
    configured = target.configured
    try:
        obstacle = await _obstacle(notifier, work, target, no_place)
        if obstacle is not None:
            return await settle.finish(notifier, work, configured, obstacle)
        started_at = notifier.clock.now()
        claim = await _claim_for_call(notifier, work.claim, started_at, configured.timeout_seconds)
        if claim is None:
            await settle.give_back(notifier, work.claim)
            return Nacked("lease_expired", work.delivery, reason="its lease expired before the attempt began")
        work.claim = claim
        # Under a steady stream, each attempt after a pause may be the first one of another delivery. An attempt that
        # began before the pause says nothing new, so this is asked before the call.
        is_first = work.attempt_number == 1 and not notifier.breakers.was_paused(configured)
        outcome = await _call(notifier, work, target, started_at)
        if isinstance(outcome, Wait):
            result = await settle.finish(notifier, work, configured, outcome)
            result.has_failed = True
            return result
    except errors.Temporary:
        # Nothing was sent, so this attempt does not count.
        await settle.give_back(notifier, work.claim)
        raise
    entry = attempt_entry(claim.row, work.attempt_number, outcome, started_at, notifier.clock.now())
    if notifier.spans is not None:
        notifier.spans.note_attempt(work.delivery.event, configured.kind, entry, outcome)
    return CompletedAttempt(outcome, entry, is_first)


async def _claim_for_call(
    notifier: Notifier, claim: ledger.Claimed, started_at: float, timeout_seconds: float
) -> ledger.Claimed | None:
    """Return the claim with a lease for the whole call; None if its lease may end before. Raises Temporary."""
    if claim.row.crashes:  # a suspect has waited for others, so its lease begins again
        return await notifier.ledger.begin(claim, started_at)
    return claim if started_at + timeout_seconds + GRACE_SECONDS <= claim.row.lease_until else None


async def _call(notifier: Notifier, work: Work, target: Target, started_at: float) -> Outcome | Wait:
    """Call the destination. Return the outcome, or a wait if the destination was so slow that nothing was sent.

    Raises Temporary only if nothing was sent.
    """
    row = work.claim.row
    attempt = Attempt(
        idempotency_key=f"{row.key}-r{row.generation}" if row.generation else row.key,
        attempt_number=work.attempt_number,
        generation=row.generation,
        now=started_at,
        timeout_seconds=target.configured.timeout_seconds,
        person=work.person,
        is_repair=_is_repair(row, work.attempt_number),
        undelivered_since=_undelivered_since(row),
    )
    notifier.gate.begin(work.delivery.id)  # the gate measures how long the call takes, and reports one that hangs
    computing = time_bound.measure_computing()
    try:
        outcome = await call_destination(target.destination, work.delivery, attempt, notifier.deadlines)
    except errors.Temporary as error:
        if error.code not in BUSY_CODES:
            raise
        age_seconds = started_at - row.created_at
        if age_seconds < MAX_BUSY_AGE_SECONDS:
            wait_seconds = max(BUSY_SECONDS, BUSY_SHARE_OF_AGE * age_seconds)
            return _spread_wait(notifier, work, wait_seconds, error.detail)
        return RetryLater(error.detail)  # it counts as an attempt: see MAX_BUSY_AGE_SECONDS
    notifier.gate.note_computing(work.delivery.id, computing.seconds)
    if not isinstance(outcome, Failed):
        return outcome
    hint = missing_paths.removal_hint(outcome.reason, notifier.removals.get(work.delivery.route, {}))
    return replace(outcome, reason=f"{outcome.reason}{hint}")


async def _obstacle(notifier: Notifier, work: Work, target: Target, no_place: Wait | None) -> settle.FollowUp | None:
    """Make the checks in the order of the module's docstring. Return what follows from the first one that applies.

    Return None if the delivery may be attempted. Raises Temporary.
    """
    configured = target.configured
    row = work.claim.row
    if row.crashes and (end := _end_after_crash(notifier, work, target)):
        return end
    now = notifier.clock.now()
    if configured.has_expired(work.delivery.event, now):
        return settle.expired_reason(row.reason)
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None:
        return settle.Hold(state.disabled_reason)
    if state.paused_until is not None and now < state.paused_until:
        pause_seconds = spread(pauses.pause_wait(configured, state.paused_until, now), row.key, work.attempt_number)
        return Wait(now + pause_seconds, pauses.pause_text(configured, state.pause_reason))
    if configured.recipient is not None and (unreachable := await _find_recipient(notifier, work, target)):
        return unreachable
    if configured.gather is not None:
        # Imported here, because few destinations gather.
        from functions.notify.digests import arrival

        if wait := arrival.wait_of_claimed(configured, work, notifier.clock.now()):
            return wait
    return await _enter_limits(notifier, work, target, state, no_place)


async def _enter_limits(
    notifier: Notifier, work: Work, target: Target, state: ledger.DestinationState, no_place: Wait | None
) -> Wait | None:
    """Make the last four checks, which enter the limits that the delivery shares with others.

    Return the wait of the first check that applies; None if the delivery may be attempted. `_attempt_and_settle` leaves
    what is entered here. Raises Temporary.
    """
    configured = target.configured
    if wait := await notifier.breakers.enter(configured, work.delivery, state):
        return wait
    if no_place is not None:
        return no_place
    if not await notifier.gate.wait_to_compute(work.delivery.id):
        reason = "its templates may take long to compute, and those of other deliveries are computed first"
        return _spread_wait(notifier, work, COMPUTING_WAIT_SECONDS, reason)
    if notifier.caps is None:
        return None
    # Last, because a slot would be lost by a further wait, and the lease of a place would end too early.
    row = work.claim.row
    slot_wait = await notifier.caps.enter(configured, work.delivery, row.slot_at, row.reason)
    if slot_wait is None or not slot_wait.is_over_rate:
        return slot_wait
    # Imported here, because few destinations gather.
    from functions.notify.digests import arrival

    return arrival.wait_over_rate(configured, work, slot_wait)


def _spread_wait(notifier: Notifier, work: Work, seconds: float, reason: str) -> Wait:
    """Return a wait of so many seconds and up to a fifth more, as `spread` adds."""
    at = notifier.clock.now() + spread(seconds, work.claim.row.key, work.attempt_number)
    return Wait(at, reason)


def _end_after_crash(notifier: Notifier, work: Work, target: Target) -> settle.FollowUp | None:
    """Count an attempt that left no record as one with an unknown outcome. Return None if another attempt may follow.

    The attempt is noted in the journal, because the process that made it could not do that.
    """
    row = work.claim.row
    if notifier.journal is not None and row.attempts:
        notifier.journal.note(row.attempts[-1])
    if row.crashes >= MAX_CRASHES:
        reason = settle.unknown_reason(f"{row.crashes} attempts in a row ended without a record")
        return dead_letters.DeadLetterReason("crashed", reason)
    reason = f"attempt {row.attempt_number} ended without a record of its outcome"
    return settle.end_after_unknown(work, target, row.unknown_count, reason)


async def _find_recipient(notifier: Notifier, work: Work, target: Target) -> settle.FollowUp | None:
    """Set the recipient of the work. Return what follows if there is none; otherwise None. Raises Temporary."""
    assert notifier.recipients is not None  # wiring makes them if any destination has a recipient
    try:
        work.person = await notifier.recipients.require_person(target.configured, work.delivery)
    except errors.Permanent as error:  # there is none, or the event's data is gone
        hint = missing_paths.removal_hint(error.detail, notifier.removals.get(work.delivery.route, {}))
        return dead_letters.DeadLetterReason(error.code, f"{error.detail}{hint}")
    except errors.Temporary as error:
        if error.code != "people_unavailable":
            raise
        # Wait here: the operator's list of people is down. If this raised, the bus would count attempts and give up.
        return Wait(notifier.clock.now() + PEOPLE_SECONDS, error.detail)
    return None


def _is_repair(row: ledger.LedgerRow, attempt_number: int) -> bool:
    """Return whether the row was reopened after a failure: its own, or that of the previous page of a fan-out.

    `attempt_number` is the number of the next attempt. It is counted from when the row was reopened.
    """
    if not row.generation:  # it was never reopened
        return False
    if row.replays and row.replays[-1].endswith(REPAIR):
        return True
    count_since = attempt_number - 1
    count_before = len(row.attempts) - count_since
    # A row keeps its newest attempts. If it has none from before it was reopened, a failure is assumed.
    return count_before <= 0 or row.attempts[count_before - 1].outcome != "delivered"


def _undelivered_since(row: ledger.LedgerRow) -> int:
    """Return the generation of a reopened row that follows the last delivered one; 0 if none was delivered.

    A row that an earlier version of Hookchain reopened does not record it. Then its newest generation is returned.
    """
    if row.undelivered_since:
        return row.undelivered_since
    return row.generation if any(each.outcome == "delivered" for each in row.attempts) else 0
