"""Settle a delivery: record in the ledger what follows an attempt, before the bus may forget the message.

This is what follows each outcome:

    Delivered    nothing more; the receiver may ask that the destination is disabled
    RetryLater   the next attempt, by waiting/schedule.py; a dead letter `retries_exhausted` after the last one, and
                 `expired` if the next attempt would come after the destination's `expires_after`
    Unknown      a later attempt; held with `on_unknown: hold`; a dead letter `outcome_unknown` after three in a
                 row, if the destination does not recognise a repeat
    Failed       a dead letter with the destination's code
    Disabled     held until the operator resumes the destination

A delivery to a subscriber's endpoint that fails for good is `dead_lettered` in the ledger, without a dead letter.

If the destination has an `otherwise`, a delivery of the same event to that destination is published before the dead
letter.

A delivery that is not delivered goes one of three ways. Each is a value, so that it can be decided without a write:

    Wait              it waits for its next attempt
    Hold              it waits for an operator
    DeadLetterReason  it is given up, and gets no further attempt

These functions end the claim of a delivery:

    settle       after an attempt: records what follows from its outcome
    finish       records one of the values above, also for a delivery that was not attempted; then `entry` is None
    dead_letter  as `finish`, for a DeadLetterReason alone; for example, the destination is unknown
    record       writes a settlement that the caller made, as the functions above do
    give_back    undoes the claim, because nothing was sent: the bus brings the delivery again
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias, TypeVar

from functions.notify.dead_letters import DeadLetterReason, delivery_letter, publish_dead_letter
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.registry import DeliveryOptions, Target, dedupes_repeats
from functions.notify.waiting.due import start_timer
from functions.notify.waiting.schedule import Wait, next_retry_at, number_in_schedule, unknown_wait_seconds
from shared import errors, event, ledger_rules, logs, outcomes, ports, times
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown, delivery_message
from shared.journal import AttemptEntry
from shared.ledger import Claimed, Settlement
from shared.subscribers.names import endpoint_name

MAX_UNKNOWN: Final = 3
"""After so many unknown outcomes in a row, a destination that does not recognise a repeat gets no further attempt."""
REPEAT_WAITS_SECONDS: Final = (0.2, 0.5, 1.0, 2.0)
"""The waits between the tries of a call. The last wait repeats. In each try, the store retries for under a second."""
LEASE_END_SECONDS: Final = 3.0
"""No try begins in this time before the lease ends, because another worker may claim the delivery then."""

Answer = TypeVar("Answer")


class Hold(NamedTuple):
    """The delivery waits until an operator resumes its destination; with `needs_release`, until they release it."""

    reason: str
    needs_release: bool = False


FollowUp: TypeAlias = Wait | Hold | DeadLetterReason
"""The next state of a delivery that is not delivered."""


async def settle(notifier: Notifier, work: Work, target: Target, outcome: Outcome, entry: AttemptEntry) -> Result:
    """Record what follows from an attempt with this outcome. `entry` is the record of it. Raises Temporary."""
    if isinstance(outcome, Delivered):
        settlement = Settlement(ledger_rules.DELIVERED, entry.ended_at, reason="", attempt=entry)
        result = await record(notifier, work, settlement, "delivered")
        if outcome.disable_reason and target.health is None:  # an endpoint's health disables the endpoint
            await _disable(notifier, work, Disabled(outcome.disable_reason))
        return result
    if isinstance(outcome, Disabled):
        await _disable(notifier, work, outcome)
    follow_up = _follow_up(work, target, outcome, notifier.clock.now())
    result = await finish(notifier, work, target.configured, follow_up, entry)
    if isinstance(outcome, RetryLater) and outcome.pause_destination_seconds:
        # Write the pause last: if this write failed first, the outcome of the attempt would not be recorded.
        name = target.configured.name
        seconds = outcome.pause_destination_seconds
        await repeat_until_lease_ends(
            notifier, work.claim, lambda: notifier.states.pause(name, seconds, outcome.reason)
        )
    return result


def _follow_up(work: Work, target: Target, outcome: Failed | Disabled | Unknown | RetryLater, now: float) -> FollowUp:
    """Return what follows from the outcome, by the table in the module's docstring."""
    match outcome:
        case Failed():
            return DeadLetterReason(outcome.code, outcome.reason)
        case Disabled():
            return Hold(outcome.reason)
        case RetryLater():
            return _next_attempt(work, target.configured, outcome.reason, now, outcome.after_seconds)
        case Unknown():
            unknown_in_a_row = work.claim.row.unknown_count + 1  # with this one
            end = end_after_unknown(work, target, unknown_in_a_row, outcome.reason)
            if end is not None:
                return end
            # A repeat may act twice, so the delivery waits for longer than after a failure.
            wait_seconds = unknown_wait_seconds(unknown_in_a_row)
            return _next_attempt(work, target.configured, unknown_reason(outcome.reason), now, wait_seconds)


def _next_attempt(
    work: Work, configured: DeliveryOptions, reason: str, now: float, least_seconds: float | None
) -> Wait | DeadLetterReason:
    """Return the wait by the destination's schedule, which ends with a dead letter.

    `least_seconds` is the shortest wait, for which a receiver or an unknown outcome asks.
    """
    row = work.claim.row
    attempt_number = number_in_schedule(row.attempts, work.attempt_number)
    next_at = next_retry_at(configured.retry_seconds, attempt_number, row.key, now, least_seconds)
    if next_at is None:
        return DeadLetterReason("retries_exhausted", f"attempt {work.attempt_number}, the last: {reason}")
    return Wait(next_at, reason)


def end_after_unknown(work: Work, target: Target, unknown_in_a_row: int, reason: str) -> Hold | DeadLetterReason | None:
    """Return how the delivery ends after so many attempts in a row with an unknown outcome, with the last one.

    Return None if another attempt may follow. With `on_unknown: hold`, none may. Otherwise any number may if the
    receiver recognises a repeat, and MAX_UNKNOWN attempts in all if it does not.
    """
    if target.configured.on_unknown == "hold":
        name = work.delivery.destination
        advice = f"Ask the recipient; `hookchain release {name}` sends it again"
        if endpoint_name(name):  # the endpoint's tenant reads this, and cannot run commands
            advice = "It waits until the operator releases it"
        return Hold(f"{unknown_reason(reason)}. {advice}", needs_release=True)
    if unknown_in_a_row < MAX_UNKNOWN or dedupes_repeats(target.destination):
        return None
    reason = unknown_reason(f"{unknown_in_a_row} attempts in a row got no answer, the last: {reason}")
    return DeadLetterReason("outcome_unknown", reason)


def unknown_reason(reason: str) -> str:
    return f"{reason}; accepted or not: unknown"


def expired_reason(last_reason: str, next_at: float | None = None) -> DeadLetterReason:
    """Return the reason for a delivery that has expired, or that will have expired at `next_at`, its next attempt."""
    missed = (
        "it was delivered" if next_at is None else f"its next attempt, which would come at {times.rfc3339(next_at)}"
    )
    last_time = f"; the last time: {last_reason}" if last_reason else ""
    return DeadLetterReason("expired", f"its time was over before {missed}{last_time}")


async def _disable(notifier: Notifier, work: Work, outcome: Disabled) -> None:
    """Disable the destination for every instance, and log it unless the reason is known. Raises Temporary."""
    name = work.delivery.destination
    is_new_reason = await repeat_until_lease_ends(
        notifier, work.claim, lambda: notifier.states.disable(name, outcome.reason)
    )
    if is_new_reason:
        advice = outcome.reason if outcome.names_resume else f"{outcome.reason}; then `hookchain resume {name}`"
        text = "destination disabled: its deliveries are held"
        logs.log("ERROR", text, function="notify", destination=name, reason=advice)


async def finish(
    notifier: Notifier, work: Work, configured: DeliveryOptions, follow_up: FollowUp, entry: AttemptEntry | None = None
) -> Result:
    """Record the next state of a delivery that is not delivered. `entry` is the attempt that was made now, if any.

    A delivery that will have expired at its next attempt is given up. Raises Temporary.
    """
    match follow_up:
        case Wait(until=until) if configured.has_expired(work.delivery.event, until):
            return await dead_letter(notifier, work, expired_reason(follow_up.reason, until), entry)
        case Wait():
            return await _wait(notifier, work, follow_up, entry)
        case Hold():
            return await _hold(notifier, work, follow_up, entry)
        case DeadLetterReason():
            return await dead_letter(notifier, work, follow_up, entry)


async def _wait(notifier: Notifier, work: Work, wait: Wait, entry: AttemptEntry | None) -> Result:
    """Schedule the next attempt. Raises Temporary."""
    now = notifier.clock.now()
    settlement = Settlement(
        state=ledger_rules.RETRY_SCHEDULED,
        now=now,
        reason=wait.reason,
        attempt=entry,
        retry_at=wait.until,
        group=wait.group,
        has_slot=wait.has_slot,
    )
    return await record(notifier, work, settlement, _outcome_of_wait(wait, entry), reason=wait.reason)


def _outcome_of_wait(wait: Wait, entry: AttemptEntry | None) -> outcomes.DeliveryOutcome:
    """Return the log's word for the wait."""
    if wait.group:
        return "gathered"
    if entry is None:
        return "deferred"
    if entry.outcome == "unknown":
        return "unknown"
    return "retry_scheduled"


async def _hold(notifier: Notifier, work: Work, hold: Hold, entry: AttemptEntry | None) -> Result:
    """Hold the delivery. If an operator resumed its destination meanwhile, release the deliveries held for it.

    Raises Temporary.
    """
    now = notifier.clock.now()
    settlement = Settlement(ledger_rules.HELD, now, reason=hold.reason, attempt=entry, needs_release=hold.needs_release)
    result = await record(notifier, work, settlement, "held", reason=hold.reason)
    if hold.needs_release:
        return result
    name = work.delivery.destination
    # If the read failed once and were not repeated, the delivery could stay held although its destination is resumed.
    state = await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.ledger.destination_state(name))
    if state.disabled_reason is None:
        await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.ledger.release(name, notifier.clock.now()))
    return result


async def dead_letter(
    notifier: Notifier, work: Work, why: DeadLetterReason, entry: AttemptEntry | None = None
) -> Result:
    """Publish the delivery to the destination in `otherwise`, if there is one, and a dead letter. Then record the end.

    Raises Temporary. The claim is given back then, unless a repeat of the attempt might act twice.
    """
    code, reason = why
    now = notifier.clock.now()
    otherwise = _otherwise(notifier, work.delivery)
    if otherwise is not None:
        reason = f"{reason}; {otherwise.destination!r} gets it instead"
    settlement = Settlement(ledger_rules.DEAD_LETTERED, now, reason=f"{code}: {reason}", attempt=entry)
    if endpoint_name(work.delivery.destination):  # no dead letter: the tenant's message keeps the event
        return await record(notifier, work, settlement, "dead_lettered", code, reason)
    letter = delivery_letter(work.delivery, work.claim.message, code, reason, now)
    try:
        if otherwise is not None:
            message = delivery_message(otherwise, event.event_json(otherwise.event), times.rfc3339(now), {})
            await notifier.bus.publish(ports.DELIVERIES, [message])
        await publish_dead_letter(notifier.bus, letter)
    except errors.Temporary:
        # If nothing was sent, or the receiver rejected it, give the claim back: the bus brings the message again, and
        # the attempt is repeated. After an unknown outcome, a repeat might act twice. Then the claim stays until its
        # lease ends, and the attempt counts as one without a record.
        if entry is None or entry.outcome != "unknown":
            await give_back(notifier, work.claim)
        raise
    return await record(notifier, work, settlement, "dead_lettered", code, reason)


async def record(
    notifier: Notifier,
    work: Work,
    settlement: Settlement,
    outcome: outcomes.DeliveryOutcome,
    code: errors.PermanentCode | None = None,
    reason: str | None = None,
) -> Result:
    """Write the settlement, which ends the claim. Start the timer if the wait is short.

    Return Acknowledged with `outcome`; Nacked if the lease had ended and another worker has the delivery. Raises
    Temporary.
    """
    had_lease = await repeat_until_lease_ends(
        notifier, work.claim, lambda: notifier.ledger.settle(work.claim, settlement)
    )
    if had_lease:
        # The sweep publishes a delivery that waits in a group together with the group, so it needs no timer.
        if settlement.retry_at is not None and not settlement.group:
            await start_timer(notifier.bus, notifier.clock, work.claim, settlement.retry_at, settlement.has_slot)
        return Acknowledged(outcome, work.delivery, work.attempt_number, code, reason)
    # Another worker has taken over: the bus keeps the message until that one has finished.
    return Nacked("lease_expired", work.delivery, reason="its lease had expired, and another worker has it")


async def give_back(notifier: Notifier, claim: Claimed) -> None:
    """Undo a claim, because nothing was sent: the attempt does not count. Raises Temporary."""
    now = notifier.clock.now()
    await repeat_until_lease_ends(notifier, claim, lambda: notifier.ledger.give_back(claim, now))


async def repeat_until_lease_ends(notifier: Notifier, claim: Claimed, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call to the ledger that belongs to the end of a claim, and return its answer.

    Repeat it while it raises Temporary, until shortly before the lease ends. Then raise the last Temporary.

    The claim marks the attempt as begun. If its outcome were lost because the store is throttled for a second, the
    request would be sent again, or an attempt that sent nothing would count. On Lambda, the invocation's deadline may
    cancel the call earlier. Other calls need no repeat: if they fail, the bus brings the message again.
    """
    count = 0
    while True:
        try:
            return await call()
        except errors.Temporary:
            wait_seconds = REPEAT_WAITS_SECONDS[min(count, len(REPEAT_WAITS_SECONDS) - 1)]
            if notifier.clock.now() + wait_seconds + LEASE_END_SECONDS >= claim.row.lease_until:
                raise
        await notifier.sleep(wait_seconds)
        count += 1


def _otherwise(notifier: Notifier, delivery: Delivery) -> Delivery | None:
    """Return the delivery of the same event to the destination's `otherwise`; None if it has none.

    Its id is computed as for any delivery. So it is delivered once, even if it is published several times.
    """
    configured = notifier.destinations.configured
    failed_destination = configured.get(delivery.destination)
    otherwise = failed_destination.otherwise if failed_destination else None
    if otherwise is None or otherwise not in configured:
        return None
    return Delivery(delivery.event, delivery.route, otherwise, merged=delivery.merged)
