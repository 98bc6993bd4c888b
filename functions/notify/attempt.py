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
sent. A destination is called at most once for each message, and the call is cancelled a second after its timeout.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from functions.notify import dead_letters, settle
from functions.notify.destination import REPAIR, Attempt, Destination
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.registry import Target
from functions.notify.waiting import due, pauses
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS, Wait, spread
from shared import errors, event, journal, ledger, ledger_rules, missing_paths, outcomes, own_modules, time_bound
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.push import Push

LEASE_MARGIN_SECONDS: Final = 30.0
"""How much longer the lease of a claim is than the timeout: for the checks, a wait for a slot, and recording."""
REOPENED_STATES: Final[Mapping[str, frozenset[outcomes.DeliveryState] | None]] = {
    "true": None,
    "failed": frozenset({ledger_rules.DEAD_LETTERED}),
}
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""
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
"""How long a suspect waits in the process for the previous suspect to end (see `_enter_suspects`)."""
SUSPECT_WAIT_SECONDS: Final = 5.0
"""How long it waits in the ledger after that."""
COMPUTING_WAIT_SECONDS: Final = 5.0
"""How long a delivery waits in the ledger if the templates of other deliveries leave it no time to compute."""
MAX_CRASHES: Final = 3
"""After so many attempts in a row without a record, the delivery is given up. It probably ends the worker each time."""


GRACE_SECONDS: Final = 1.0
"""How long after its timeout a destination is cancelled. It should end by itself at its timeout, because it knows then
whether it sent anything. After it is cancelled, nobody knows."""
MAX_CHARACTERS: Final = 500
"""The length of a reason and of an answer in the record of an attempt. A row keeps a hundred records."""
MAX_TEXT_CHARACTERS: Final = 1_000
"""The length of a row's last reason."""
OUTCOME_NAMES: Final[Mapping[type[Outcome], outcomes.AttemptOutcome]] = {
    Delivered: "delivered",
    RetryLater: "retry_scheduled",
    Unknown: "unknown",
    Failed: "failed",
    Disabled: "held",
}


class CompletedAttempt(NamedTuple):
    """An attempt that was made: its outcome, and its record in the ledger and in the journal."""

    outcome: Outcome
    entry: journal.AttemptEntry


async def claim_and_attempt(
    notifier: Notifier, push: Push, delivery: Delivery, target: Target, no_place: Wait | None = None
) -> Result:
    """Claim the delivery and attempt it once, unless it has to wait. Return once the ledger has the outcome.

    `no_place` is the wait of a delivery that got no place in this process; None if it has one.

    Raises Temporary. If nothing was sent, the claim is given back first.
    """
    configured = target.configured
    work = await claim_delivery(notifier, push, delivery, configured.timeout_seconds)
    if isinstance(work, Result):
        return work
    is_suspect = work.claim.row.crashes > 0  # see _enter_suspects
    if is_suspect and not await _enter_suspects(notifier):
        at = notifier.clock.now() + spread(SUSPECT_WAIT_SECONDS, delivery.id, 0)
        wait = Wait(at, "a delivery that may have ended the worker is tried first")
        return await settle.finish(notifier, work, configured, wait)
    outcome: Outcome | None = None
    try:
        attempted = await _attempt(notifier, work, target, no_place)
        if isinstance(attempted, Result):
            return attempted
        outcome, entry = attempted
        result = await settle.settle(notifier, work, target, outcome, entry)
        result.attempt_seconds = entry.ended_at - entry.started_at
        result.has_failed = pauses.destination_has_failed(outcome)
        if notifier.journal is not None:
            notifier.journal.note(entry)
        if target.health is not None:
            # Under a steady stream, each attempt after a pause may be the first one of another delivery.
            is_first = work.attempt_number == 1 and not notifier.breakers.has_opened(configured)
            await target.health.note(outcome, entry.ended_at, is_first=is_first)
        return result
    finally:
        if is_suspect:
            notifier.suspects.release()
        # A delivery that did not enter the caps or the breakers has nothing to leave there.
        if notifier.caps is not None:
            await notifier.caps.leave(delivery)
        await notifier.breakers.leave(configured, delivery, outcome)


async def claim_delivery(
    notifier: Notifier, push: Push, delivery: Delivery, timeout_seconds: float = 0.0
) -> Work | Result:
    """Claim the delivery for one attempt. Return the result if it cannot be claimed. Raises Temporary."""
    now = notifier.clock.now()
    due_fence = push.number(due.DUE)
    lease_seconds = timeout_seconds + LEASE_MARGIN_SECONDS
    claim = await notifier.ledger.claim(delivery, push.data, now, lease_seconds, due_fence)
    if isinstance(claim, ledger.Finished):
        claim = await _reopen(notifier, push, delivery, lease_seconds)
    if not isinstance(claim, ledger.Claimed):
        return await unclaimed_result(notifier, push, delivery, claim)
    attempt_number = claim.row.attempt_number
    if claim.row.crashes:
        attempt_number += 1  # the row has the number of the attempt without a record, which counts, too
    return Work(delivery, claim, attempt_number)


async def _reopen(notifier: Notifier, push: Push, delivery: Delivery, lease_seconds: float) -> ledger.Claim:
    """Reopen a final delivery once for a forced replay, and claim it. Return Finished for any other message.

    `force: failed` reopens only dead letters. Raises Temporary.
    """
    replay = push.attributes.get("replay")
    force = push.attributes.get("force", "")
    now = notifier.clock.now()
    if not replay or force not in REOPENED_STATES:
        return ledger.Finished()
    if await notifier.ledger.reopen(delivery.id, now, replay, REOPENED_STATES[force]) is None:
        return ledger.Finished()
    return await notifier.ledger.claim(delivery, push.data, now, lease_seconds)


async def unclaimed_result(notifier: Notifier, push: Push, delivery: Delivery, claim: ledger.Unclaimed) -> Result:
    """Return the result for a delivery that cannot be claimed. A conflict is a dead letter. Raises Temporary."""
    if isinstance(claim, ledger.Busy):
        return Nacked("busy", delivery, reason="another worker has it")
    if isinstance(claim, ledger.Conflict):
        letter = dead_letters.conflict_letter(delivery, push.data, notifier.clock.now())
        await dead_letters.publish_dead_letter(notifier.bus, letter)
        return Acknowledged("dead_lettered", delivery, code=letter.code, reason=letter.reason)
    if isinstance(claim, ledger.Gathered):
        return Acknowledged("gathered", delivery)
    if isinstance(claim, ledger.Waiting):
        return Acknowledged("waiting", delivery)
    return Acknowledged("finished", delivery, reason="the delivery has ended before: nothing is sent again")


async def _enter_suspects(notifier: Notifier) -> bool:
    """Wait until no other suspect is under way. Return False if that takes longer than SUSPECT_SECONDS.

    A suspect is a delivery whose last attempt left no record of its outcome, so it may have crashed the worker. The
    ledger counts such attempts in a row as `crashes`. Suspects are attempted one at a time: otherwise a crash would
    also count against the harmless ones that ran beside it.
    """
    try:
        await asyncio.wait_for(notifier.suspects.acquire(), SUSPECT_SECONDS)
    except TimeoutError:
        return False
    return True


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
    return CompletedAttempt(outcome, entry)


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
        is_repair=row.generation > 0 and is_repair(row, work.attempt_number),
        undelivered_since=undelivered_since(row) if row.generation else 0,
    )
    notifier.gate.begin(work.delivery.id)
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
    wait = await notifier.breakers.enter(configured, work.delivery, state) or no_place
    if wait is None and not await notifier.gate.wait_to_compute(work.delivery.id):
        reason = "its templates may take long to compute, and those of other deliveries are computed first"
        return _spread_wait(notifier, work, COMPUTING_WAIT_SECONDS, reason)
    # Last, because a slot would be lost by a further wait, and the lease of a place would end too early.
    if wait is None and notifier.caps is not None:
        wait = await notifier.caps.enter(configured, work.delivery, row.slot_at, row.reason)
    if wait is not None and wait.is_over_rate:
        # Imported here, because few destinations gather.
        from functions.notify.digests import arrival

        return arrival.wait_over_rate(configured, work, wait)
    return wait


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


def is_repair(row: ledger.LedgerRow, attempt_number: int) -> bool:
    """Return whether a row was reopened after a failure: its own, or that of the previous page of a fan-out.

    `attempt_number` is the number of the next attempt, counted from when the row was reopened.
    """
    if row.replays and row.replays[-1].endswith(REPAIR):
        return True
    if attempt_number > len(row.attempts):  # the row keeps no attempt from before it was reopened
        return True
    last_before_reopening = row.attempts[-attempt_number]
    return last_before_reopening.outcome != "delivered"


def undelivered_since(row: ledger.LedgerRow) -> int:
    """Return the generation of a reopened row that follows the last delivered one; 0 if none was delivered.

    A row that an earlier version of Hookchain reopened does not record it. Then its newest generation is returned.
    """
    if row.undelivered_since:
        return row.undelivered_since
    return row.generation if any(each.outcome == "delivered" for each in row.attempts) else 0


# The call. A destination may be the operator's own code, and a receiver may answer with anything. So whatever a call
# does, at most its own delivery is affected.


async def call_destination(
    destination: Destination, delivery: Delivery, attempt: Attempt, deadlines: time_bound.Deadlines
) -> Outcome:
    """Call the destination and return its outcome. Raises Temporary only if nothing was sent.

    A call that does not end by itself is cancelled GRACE_SECONDS after its timeout, and its outcome is Unknown.
    """
    try:
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds + GRACE_SECONDS
        outcome = await deadlines.wait(destination.attempt(delivery, attempt), deadline)
    except time_bound.TooLate:
        return Unknown(f"no answer within {attempt.timeout_seconds:g} s")
    except TimeoutError:
        return Unknown("no answer came")
    except errors.Permanent as error:
        return Failed(error.code, error.detail)
    except errors.Unanswered as error:
        return Unknown(error.detail)
    except errors.Temporary:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and time_bound.is_cancelled():
            raise
        # A destination may be the operator's own code, or call a library with a fault. Only this delivery fails: it
        # becomes a dead letter and can be replayed. The worker and its other deliveries are not affected.
        return Failed("destination_fault", f"the destination's code failed: {own_modules.place_in_own_module(error)}")
    if type(outcome) not in OUTCOME_NAMES:
        return Failed("destination_fault", f"the destination answered {type(outcome).__name__}, not an outcome")
    return recordable(outcome)


def recordable(outcome: Outcome) -> Outcome:
    """Return the outcome as the ledger can store it: with short lines of valid Unicode, and with finite waits.

    The texts may come from a receiver's answer, and an operator's own kind may return values of any type. If an outcome
    could not be recorded, its request would be sent again.
    """
    answer = _recordable_text(outcome.answer)
    if isinstance(outcome, Delivered):
        return Delivered(answer)
    reason = _recordable_text(outcome.reason)
    if isinstance(outcome, RetryLater):
        after_seconds = _recordable_wait(outcome.after_seconds)
        return RetryLater(reason, after_seconds, answer, _recordable_wait(outcome.pause_destination_seconds))
    return replace(outcome, reason=reason, answer=answer)


def _recordable_text(text: object) -> str:
    """Return the text on one line and cut; for anything but a text, the name of its type."""
    if not isinstance(text, str):
        return type(text).__name__
    if text.isprintable() and len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return event.oneline(text[:MAX_TEXT_CHARACTERS])


def _recordable_wait(seconds: object) -> float | None:
    """Return the wait, at most MAX_ASKED_SECONDS; None for anything but a number of seconds from 0 on."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:  # NaN is not
        return float(min(seconds, MAX_ASKED_SECONDS))
    return None


def attempt_entry(
    row: ledger.LedgerRow, attempt_number: int, outcome: Outcome, started_at: float, ended_at: float
) -> journal.AttemptEntry:
    """Return the record of an attempt, with its texts cut. Times are Unix seconds."""
    reason = "" if isinstance(outcome, Delivered) else outcome.reason
    return journal.AttemptEntry(
        delivery_id=row.key,
        event_id=row.event_id,
        route=row.route,
        destination=row.destination,
        attempt_number=attempt_number,
        started_at=started_at,
        ended_at=ended_at,
        outcome=OUTCOME_NAMES[type(outcome)],
        reason=reason[:MAX_CHARACTERS],
        answer=outcome.answer[:MAX_CHARACTERS],
    )
