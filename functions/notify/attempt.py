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

A delivery that waits has made no attempt. A destination is called at most once for each message, and the call is
cancelled a second after its timeout.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from functions.notify import settle
from functions.notify.dead_letters import conflict_letter, publish_dead_letter
from functions.notify.destination import REPAIR, Attempt, Destination
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.registry import Configured, Target
from functions.notify.waiting.due import DUE
from functions.notify.waiting.pauses import has_failed, pause_text, pause_wait
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS, Wait, expires_at, spread
from shared import errors, event, journal, ledger, ledger_rules, outcomes, own_modules, time_bound
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.did_you_mean import removal_hint
from shared.push import Push

LEASE_MARGIN_SECONDS: Final = 30.0
"""How much longer the lease of a claim is than the attempt may take."""
REOPENED_STATES: Final[Mapping[str, frozenset[outcomes.DeliveryState] | None]] = MappingProxyType(
    {"true": None, "failed": frozenset({ledger_rules.DEAD_LETTERED})}
)
"""The states in which a replay reopens a delivery, by its attribute `force`; None: all that are final."""
GRACE_SECONDS: Final = 1.0
"""How long after its timeout a destination is cancelled. It should end by itself at its timeout, because it knows then
whether it sent anything. After it is cancelled, nobody knows."""
MAX_CHARACTERS: Final = 500
"""The length of a reason and of an answer in the record of an attempt. A row keeps a hundred records."""
MAX_TEXT_CHARACTERS: Final = 1_000
"""The length of a row's last reason."""
PEOPLE_SECONDS: Final = 60.0
"""How long deliveries to a person wait while the list of people cannot be read."""
BUSY_CODES: Final = frozenset({"attempt_timeout", "mail_queue_full", "queue_full"})
"""The codes of a destination that is so slow that nothing was sent. A nack would slow down the whole subscription."""
BUSY_SECONDS: Final = 5.0
BUSY_SHARE_OF_AGE: Final = 0.1
"""A delivery whose destination was too slow waits for this share of its age, and for at least BUSY_SECONDS."""
MAX_BUSY_AGE_SECONDS: Final = 3_600.0
"""From this age of a delivery on, a destination that was too slow counts as a failed attempt."""
SUSPECT_SECONDS: Final = 1.0
"""How long a suspect waits in the process for the previous suspect to end (see `_enter_suspects`)."""
SUSPECT_WAIT_SECONDS: Final = 5.0
"""How long it waits in the ledger after that."""
COMPUTING_WAIT_SECONDS: Final = 5.0
"""How long a delivery waits in the ledger if the templates of other deliveries leave it no time to compute."""
MAX_CRASHES: Final = 3
"""After so many attempts in a row without a record, the delivery is given up. It probably ends the worker each time."""

OUTCOME_NAMES: Final[Mapping[type[Outcome], outcomes.AttemptOutcome]] = MappingProxyType(
    {
        Delivered: "delivered",
        RetryLater: "retry_scheduled",
        Unknown: "unknown",
        Failed: "failed",
        Disabled: "held",
    }
)


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
    is_suspect = _left_no_record(work.claim)
    if is_suspect and (result := await _enter_suspects(notifier, work, configured)):
        return result
    outcome: Outcome | None = None
    try:
        attempted = await _attempt_unless_waiting(notifier, work, target, no_place)
        if isinstance(attempted, Result):
            return attempted
        outcome, entry = attempted
        result = await settle.settle(notifier, work, target, outcome, entry)
        result.attempt_seconds = entry.ended_at - entry.started_at
        result.has_failed = has_failed(outcome)
        if notifier.journal is not None:
            notifier.journal.note(entry)
        if configured.health is not None:
            await configured.health.note(outcome, work.attempt_number, entry.ended_at)
        return result
    finally:
        if is_suspect:
            notifier.suspects.release()
        if notifier.caps is not None:
            await notifier.caps.leave(delivery)
        await notifier.breakers.leave(configured, delivery, outcome)


async def claim_delivery(
    notifier: Notifier, push: Push, delivery: Delivery, timeout_seconds: float = 0.0
) -> Work | Result:
    """Claim the delivery for one attempt. Return the result if it cannot be claimed. Raises Temporary."""
    now = notifier.clock.now()
    due_fence = push.number(DUE)
    lease_seconds = timeout_seconds + LEASE_MARGIN_SECONDS
    claim = await notifier.ledger.claim(delivery, push.data, now, lease_seconds, due_fence)
    if isinstance(claim, ledger.Finished):
        claim = await _reopen(notifier, push, delivery, lease_seconds)
    if not isinstance(claim, ledger.Claimed):
        return await unclaimed_result(notifier, push, delivery, claim)
    attempt_number = claim.row.attempt_number
    if _left_no_record(claim):
        attempt_number += 1  # the attempt without a record counts, too
    return Work(delivery, claim, attempt_number)


def _left_no_record(claim: ledger.Claimed) -> bool:
    """Return whether the last attempt left no record of its outcome: its lease is over, and its row still claimed."""
    return claim.row.state == ledger_rules.CLAIMED


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
        letter = conflict_letter(delivery, push.data, notifier.clock.now())
        await publish_dead_letter(notifier.bus, letter)
        return Acknowledged("dead_lettered", delivery, code=letter.code, reason=letter.reason)
    if isinstance(claim, ledger.Gathered):
        return Acknowledged("gathered", delivery)
    if isinstance(claim, ledger.Waiting):
        return Acknowledged("waiting", delivery)
    return Acknowledged("finished", delivery, reason="the delivery has ended before: nothing is sent again")


async def _enter_suspects(notifier: Notifier, work: Work, configured: Configured) -> Result | None:
    """Return None once no other suspect is under way. If that takes too long, let the delivery wait in the ledger and
    return the result.

    A suspect is a delivery whose last attempt left no record, so it may have crashed the worker. Suspects are attempted
    one at a time: otherwise a crash would also count against the harmless ones that ran beside it.
    """
    try:
        await asyncio.wait_for(notifier.suspects.acquire(), SUSPECT_SECONDS)
    except TimeoutError:  # The previous attempt hangs, so this delivery leaves its place to others for now.
        at = notifier.clock.now() + spread(SUSPECT_WAIT_SECONDS, work.delivery.id, 0)
        reason = "a delivery that may have ended the worker is tried first"
        return await settle.schedule_attempt(notifier, work, configured, at, reason)
    return None


async def _attempt_unless_waiting(
    notifier: Notifier, work: Work, target: Target, no_place: Wait | None
) -> tuple[Outcome, journal.AttemptEntry] | Result:
    """Return the attempt's outcome and its record. Return the result if no attempt was made, or if it does not count.

    Raises Temporary after it gave the claim back.
    """
    configured = target.configured
    row = work.claim.row
    try:
        if result := await _result_without_attempt(notifier, work, target, no_place):
            return result
        started_at = notifier.clock.now()
        begun = await _begin(notifier, work.claim, started_at, configured.timeout_seconds)
        if begun is None:
            await settle.give_back(notifier, work.claim)
            return Nacked("lease_expired", work.delivery, reason="its lease expired before the attempt began")
        work.claim = begun
        try:
            outcome = await _make_attempt(notifier, work, target, started_at)
        except errors.Temporary as error:
            if error.code not in BUSY_CODES:
                raise
            age_seconds = started_at - row.created_at
            if age_seconds < MAX_BUSY_AGE_SECONDS:
                return await _wait_while_busy(notifier, work, configured, error.detail, age_seconds)
            # This counts as an attempt, so that the delivery's schedule comes to an end.
            outcome = RetryLater(error.detail)
    except errors.Temporary:
        # Nothing was sent, so this attempt does not count.
        await settle.give_back(notifier, work.claim)
        raise
    entry = attempt_entry(row, work.attempt_number, outcome, started_at, notifier.clock.now())
    if notifier.spans is not None:
        notifier.spans.note_attempt(work, configured.kind, entry, outcome)
    return outcome, entry


async def _begin(
    notifier: Notifier, claim: ledger.Claimed, started_at: float, timeout_seconds: float
) -> ledger.Claimed | None:
    """Return the claim with which the attempt may begin; None if the lease could end during the attempt.

    Raises Temporary.
    """
    if _left_no_record(claim):
        return await notifier.ledger.begin(claim, started_at)
    latest_end = started_at + timeout_seconds + GRACE_SECONDS
    return claim if latest_end <= claim.row.lease_until else None


async def _make_attempt(notifier: Notifier, work: Work, target: Target, started_at: float) -> Outcome:
    """Make the attempt and return its outcome. Raises Temporary only if nothing was sent."""
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
    outcome = await attempt_once(target.destination, work.delivery, attempt, notifier.deadlines)
    notifier.gate.note_computing(work.delivery.id, computing.seconds)
    if not isinstance(outcome, Failed):
        return outcome
    hint = removal_hint(outcome.reason, notifier.removals.get(work.delivery.route, {}))
    return replace(outcome, reason=f"{outcome.reason}{hint}")


async def _result_without_attempt(
    notifier: Notifier, work: Work, target: Target, no_place: Wait | None
) -> Result | None:
    """Make the checks in the order of the module's docstring. Return the result of the first one that applies; None if
    the delivery may be attempted. Raises Temporary."""
    configured = target.configured
    row = work.claim.row
    if row.crashes and (result := await _after_a_crash(notifier, work, target)):
        return result
    now = notifier.clock.now()
    expires_after = configured.expires_after_seconds
    if expires_after is not None and now >= expires_at(work.delivery.event, expires_after):
        return await settle.dead_letter_expired(notifier, work, row.reason)
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None:
        return await settle.hold_while_disabled(notifier, work, state.disabled_reason)
    if state.paused_until is not None and now < state.paused_until:
        pause_seconds = spread(pause_wait(configured, state.paused_until, now), row.key, work.attempt_number)
        reason = pause_text(configured, state.pause_reason)
        return await settle.schedule_attempt(notifier, work, configured, now + pause_seconds, reason)
    if configured.recipient is not None and (result := await _find_recipient(notifier, work, configured)):
        return result
    if configured.gather is not None:
        # Imported here, because few destinations gather.
        from functions.notify.digests.arrival import keep_back

        if result := await keep_back(notifier, work, configured):
            return result
    wait = await notifier.breakers.enter(configured, work.delivery, state) or no_place
    if wait is None and not await notifier.gate.give_way(work.delivery.id):
        at = notifier.clock.now() + spread(COMPUTING_WAIT_SECONDS, row.key, work.attempt_number)
        wait = Wait(at, "its templates may take long to compute, and those of other deliveries are computed first")
    # Last, because a slot would be lost by a further wait, and the lease of a place would end too early.
    if wait is None and notifier.caps is not None:
        wait = await notifier.caps.enter(configured, work.delivery, row.slot_at)
    if wait is None:
        return None
    if wait.gathers:
        from functions.notify.digests.arrival import wait_for_rate

        if result := await wait_for_rate(notifier, work, configured, wait.until, wait.reason):
            return result
    return await settle.schedule_attempt(notifier, work, configured, wait.until, wait.reason, has_slot=wait.has_slot)


async def _after_a_crash(notifier: Notifier, work: Work, target: Target) -> Result | None:
    """Count an attempt that left no record as one with an unknown outcome. Return None if another attempt may follow.

    Raises Temporary.
    """
    row = work.claim.row
    if notifier.journal is not None and row.attempts:
        notifier.journal.note(row.attempts[-1])
    if row.crashes >= MAX_CRASHES:
        crashed = settle.unknown_reason(f"{row.crashes} attempts in a row ended without a record")
        return await settle.dead_letter(notifier, work, "crashed", crashed)
    reason = f"attempt {row.attempt_number} ended without a record of its outcome"
    if settle.may_repeat_unknown(target, row.unknown_count):
        return None
    return await settle.end_unknown(notifier, work, target, row.unknown_count, reason)


async def _find_recipient(notifier: Notifier, work: Work, configured: Configured) -> Result | None:
    """Set the recipient of the work. Return the result if there is none. Raises Temporary."""
    assert notifier.recipients is not None  # wiring makes them if any destination has a recipient
    try:
        work.person = await notifier.recipients.person(configured, work.delivery)
    except errors.Permanent as error:  # there is none, or the event's data is gone
        hint = removal_hint(error.detail, notifier.removals.get(work.delivery.route, {}))
        return await settle.dead_letter(notifier, work, error.code, f"{error.detail}{hint}")
    except errors.Temporary as error:
        if error.code != "people_unavailable":
            raise
        # Wait here: the operator's list of people is down. If this raised, the bus would count attempts and give up.
        return await settle.schedule_attempt(
            notifier, work, configured, notifier.clock.now() + PEOPLE_SECONDS, error.detail
        )
    return None


async def _wait_while_busy(
    notifier: Notifier, work: Work, configured: Configured, reason: str, age_seconds: float
) -> Result:
    """Let the delivery wait: its destination was too slow for anything to be sent, so the attempt does not count."""
    seconds = max(BUSY_SECONDS, BUSY_SHARE_OF_AGE * age_seconds)
    at = notifier.clock.now() + spread(seconds, work.claim.row.key, work.attempt_number)
    result = await settle.schedule_attempt(notifier, work, configured, at, reason)
    result.has_failed = True
    return result


async def attempt_once(
    destination: Destination, delivery: Delivery, attempt: Attempt, deadlines: time_bound.Deadlines
) -> Outcome:
    """Call the destination and return its outcome. Raises Temporary only if nothing was sent."""
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
    if not isinstance(text, str):
        return type(text).__name__
    if text.isprintable() and len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return event.oneline(text[:MAX_TEXT_CHARACTERS])


def _recordable_wait(seconds: object) -> float | None:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:  # NaN is not
        return float(min(seconds, MAX_ASKED_SECONDS))
    return None


def attempt_entry(
    row: ledger.LedgerRow, attempt_number: int, outcome: Outcome, started: float, ended: float
) -> journal.AttemptEntry:
    reason = "" if isinstance(outcome, Delivered) else outcome.reason
    return journal.AttemptEntry(
        row.key,
        row.event_id,
        row.route,
        row.destination,
        attempt_number,
        started,
        ended,
        OUTCOME_NAMES[type(outcome)],
        reason[:MAX_CHARACTERS],
        outcome.answer[:MAX_CHARACTERS],
    )
