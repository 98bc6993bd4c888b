"""Settle a delivery: record in the ledger what follows an attempt, before the bus may forget the message.

This is what follows each outcome:

    Delivered    nothing more
    RetryLater   the next attempt, by waiting/schedule.py; a dead letter `retries_exhausted` after the last one, and
                 `expired` if the next attempt would come after the destination's `expires_after`
    Unknown      a later attempt; held with `on_unknown: hold`; a dead letter `outcome_unknown` after three in a
                 row, if the destination does not recognise a repeat
    Failed       a dead letter with the destination's code
    Disabled     held until the operator resumes the destination

A delivery to a subscriber's endpoint that fails for good is `dead_lettered` in the ledger, without a dead letter.

If the destination has an `otherwise`, a delivery of the same event to that destination is published before the dead
letter.

A delivery can also be settled without an attempt; then `attempt` is None. For example, a delivery to an unknown
destination becomes a dead letter, and so does one whose worker died three times in a row.

Each of these functions ends the claim of a delivery:

    schedule_attempt  it waits for its next attempt
    hold              it waits for an operator
    dead_letter       it is given up, and gets no further attempt
    give_back         its claim is undone, because nothing was sent: the bus brings it again
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from functions.notify.dead_letters import delivery_letter, publish_dead_letter
from functions.notify.notifier import Acknowledged, Nacked, Notifier, Result, Work
from functions.notify.registry import Configured, Target, dedupes_repeats
from functions.notify.waiting.due import start_timer
from functions.notify.waiting.schedule import expires_at, next_retry_at, number_in_schedule, unknown_wait_seconds
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown, delivery_message
from shared.errors import PermanentCode, Temporary
from shared.event import event_json
from shared.journal import AttemptEntry
from shared.ledger import Claimed, Settlement
from shared.ledger_rules import DEAD_LETTERED, DELIVERED, HELD, RETRY_SCHEDULED
from shared.logs import log
from shared.outcomes import DeliveryOutcome
from shared.ports import DELIVERIES
from shared.subscribers.names import endpoint_name
from shared.times import rfc3339

MAX_UNKNOWN: Final = 3
"""After so many unknown outcomes in a row, a destination that does not recognise a repeat gets no further attempt."""
REPEAT_WAITS_SECONDS: Final = (0.2, 0.5, 1.0, 2.0)
"""The waits between the tries of a call. The last wait repeats. In each try, the store retries for under a second."""
LEASE_END_SECONDS: Final = 3.0
"""No try begins in this time before the lease ends, because another worker may claim the delivery then."""

Answer = TypeVar("Answer")


async def settle(notifier: Notifier, work: Work, target: Target, outcome: Outcome, attempt: AttemptEntry) -> Result:
    """Record what follows from the attempt's outcome. Raises Temporary."""
    if isinstance(outcome, Delivered):
        return await record(notifier, work, Settlement(DELIVERED, attempt.ended_at, "", attempt), "delivered")
    if isinstance(outcome, Failed):
        return await dead_letter(notifier, work, outcome.code, outcome.reason, attempt)
    if isinstance(outcome, Disabled):
        return await _disable(notifier, work, outcome, attempt)
    if isinstance(outcome, Unknown):
        return await _settle_unknown(notifier, work, target, outcome, attempt)
    return await _retry(notifier, work, target.configured, outcome, attempt)


async def record(
    notifier: Notifier,
    work: Work,
    settlement: Settlement,
    outcome: DeliveryOutcome,
    code: PermanentCode | None = None,
    reason: str | None = None,
) -> Result:
    """Write the settlement, which ends the claim. Start the timer if the wait is short. Raises Temporary."""
    if await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.ledger.settle(work.claim, settlement)):
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
        except Temporary:
            wait_seconds = REPEAT_WAITS_SECONDS[min(count, len(REPEAT_WAITS_SECONDS) - 1)]
            if notifier.clock.now() + wait_seconds + LEASE_END_SECONDS >= claim.row.lease_until:
                raise
        await notifier.sleep(wait_seconds)
        count += 1


async def _settle_unknown(
    notifier: Notifier, work: Work, target: Target, outcome: Unknown, attempt: AttemptEntry
) -> Result:
    """Hold the delivery, give it up, or let it wait for longer than after a failure: a repeat may act twice.

    Raises Temporary.
    """
    unknown_count = work.claim.row.unknown_count + 1
    if not may_repeat_unknown(target, unknown_count):
        return await end_unknown(notifier, work, target, unknown_count, outcome.reason, attempt)
    wait_seconds = unknown_wait_seconds(unknown_count)
    next_at = _next_attempt_at(notifier, work, target.configured, wait_seconds)
    if next_at is None:
        reason = unknown_reason(f"attempt {work.attempt_number}, the last: {outcome.reason}")
        return await dead_letter(notifier, work, "retries_exhausted", reason, attempt)
    return await schedule_attempt(notifier, work, target.configured, next_at, unknown_reason(outcome.reason), attempt)


def may_repeat_unknown(target: Target, unknown_count: int) -> bool:
    """Return whether another attempt may follow `unknown_count` attempts in a row with an unknown outcome.

    With `on_unknown: hold`, none may. Otherwise any number may if the receiver recognises a repeat, and MAX_UNKNOWN
    attempts in all if it does not.
    """
    if target.configured.on_unknown == "hold":
        return False
    return unknown_count < MAX_UNKNOWN or dedupes_repeats(target.destination)


async def end_unknown(
    notifier: Notifier,
    work: Work,
    target: Target,
    unknown_count: int,
    reason: str,
    attempt: AttemptEntry | None = None,
) -> Result:
    """Hold the delivery or give it up, because no attempt may follow `unknown_count` unknown outcomes in a row.

    Raises Temporary.
    """
    if target.configured.on_unknown == "hold":
        name = work.delivery.destination
        advice = f"Ask the recipient; `hookchain release {name}` sends it again"
        if endpoint_name(name):  # the endpoint's tenant reads this, and cannot run commands
            advice = "It waits until the operator releases it"
        return await hold(notifier, work, f"{unknown_reason(reason)}. {advice}", attempt, needs_release=True)
    reason = unknown_reason(f"{unknown_count} attempts in a row got no answer, the last: {reason}")
    return await dead_letter(notifier, work, "outcome_unknown", reason, attempt)


def unknown_reason(reason: str) -> str:
    return f"{reason}; accepted or not: unknown"


async def _retry(
    notifier: Notifier, work: Work, configured: Configured, outcome: RetryLater, attempt: AttemptEntry
) -> Result:
    next_at = _next_attempt_at(notifier, work, configured, outcome.after_seconds)
    if next_at is None:
        reason = f"attempt {work.attempt_number}, the last: {outcome.reason}"
        result = await dead_letter(notifier, work, "retries_exhausted", reason, attempt)
    else:
        result = await schedule_attempt(notifier, work, configured, next_at, outcome.reason, attempt)
    # Write the pause last: if this write failed first, the outcome of the attempt would not be recorded.
    pause_seconds = outcome.pause_destination_seconds
    if pause_seconds:
        await repeat_until_lease_ends(
            notifier, work.claim, lambda: notifier.states.pause(configured.name, pause_seconds, outcome.reason)
        )
    return result


def _next_attempt_at(
    notifier: Notifier, work: Work, configured: Configured, asked_wait_seconds: float | None
) -> float | None:
    """Return the time of the next attempt by the destination's schedule; None after the schedule's last attempt.

    `asked_wait_seconds` is the shortest wait, for which a receiver or an unknown outcome asks.
    """
    row = work.claim.row
    in_schedule = number_in_schedule(row.attempts, work.attempt_number)
    return next_retry_at(configured.retry_seconds, in_schedule, row.key, notifier.clock.now(), asked_wait_seconds)


async def _disable(notifier: Notifier, work: Work, outcome: Disabled, attempt: AttemptEntry) -> Result:
    name = work.delivery.destination
    if await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.states.disable(name, outcome.reason)):
        advice = outcome.reason if outcome.names_resume else f"{outcome.reason}; then `hookchain resume {name}`"
        text = "destination disabled: its deliveries are held"
        log("ERROR", text, function="notify", destination=name, reason=advice)
    return await hold_while_disabled(notifier, work, outcome.reason, attempt)


async def hold_while_disabled(
    notifier: Notifier, work: Work, reason: str, attempt: AttemptEntry | None = None
) -> Result:
    """Hold the delivery, and release it if an operator resumed the destination in the meantime. Raises Temporary."""
    result = await hold(notifier, work, reason, attempt)
    name = work.delivery.destination
    # If the read failed once and were not repeated, the delivery could stay held although its destination is resumed.
    state = await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.ledger.destination_state(name))
    if state.disabled_reason is None:
        await repeat_until_lease_ends(notifier, work.claim, lambda: notifier.ledger.release(name, notifier.clock.now()))
    return result


async def hold(
    notifier: Notifier,
    work: Work,
    reason: str,
    attempt: AttemptEntry | None = None,
    *,
    needs_release: bool = False,
) -> Result:
    settlement = Settlement(HELD, notifier.clock.now(), reason, attempt, needs_release=needs_release)
    return await record(notifier, work, settlement, "held", reason=reason)


async def schedule_attempt(
    notifier: Notifier,
    work: Work,
    configured: Configured,
    at: float,
    reason: str,
    attempt: AttemptEntry | None = None,
    group: str = "",
    has_slot: bool = False,
) -> Result:
    """Schedule the next attempt of the delivery at `at`. Give it up if the event will have expired by then.

    attempt   the attempt that was made now; None if the delivery is only deferred
    group     the group of a digest in which it waits from now on
    has_slot  `at` is a slot of the destination's rate, reserved for the delivery

    Raises Temporary.
    """
    expires_after = configured.expires_after_seconds
    if expires_after is not None and at >= expires_at(work.delivery.event, expires_after):
        return await dead_letter_expired(notifier, work, reason, attempt, next_at=at)
    settlement = Settlement(RETRY_SCHEDULED, notifier.clock.now(), reason, attempt, at, group, has_slot)
    return await record(notifier, work, settlement, _outcome_of_wait(attempt, group), reason=reason)


def _outcome_of_wait(attempt: AttemptEntry | None, group: str) -> DeliveryOutcome:
    if group:
        return "gathered"
    if attempt is None:
        return "deferred"
    if attempt.outcome == "unknown":
        return "unknown"
    return "retry_scheduled"


async def dead_letter_expired(
    notifier: Notifier,
    work: Work,
    last_reason: str,
    attempt: AttemptEntry | None = None,
    next_at: float | None = None,
) -> Result:
    """Give up a delivery that has expired, or that will have expired at `next_at`, the time of its next attempt."""
    missed = "it was delivered" if next_at is None else f"its next attempt, which would come at {rfc3339(next_at)}"
    last_time = f"; the last time: {last_reason}" if last_reason else ""
    return await dead_letter(notifier, work, "expired", f"its time was over before {missed}{last_time}", attempt)


async def dead_letter(
    notifier: Notifier, work: Work, code: PermanentCode, reason: str, attempt: AttemptEntry | None = None
) -> Result:
    """Publish the delivery to the destination in `otherwise`, if there is one, and a dead letter. Then record the end.

    Raises Temporary.
    """
    now = notifier.clock.now()
    otherwise = _otherwise(notifier, work.delivery)
    if otherwise is not None:
        reason = f"{reason}; {otherwise.destination!r} gets it instead"
    settlement = Settlement(DEAD_LETTERED, now, f"{code}: {reason}", attempt)
    if endpoint_name(work.delivery.destination):  # no dead letter: the tenant's message keeps the event
        return await record(notifier, work, settlement, "dead_lettered", code, reason)
    letter = delivery_letter(work.delivery, work.claim.message, code, reason, now)
    try:
        if otherwise is not None:
            message = delivery_message(otherwise, event_json(otherwise.event), rfc3339(now), {})
            await notifier.bus.publish(DELIVERIES, [message])
        await publish_dead_letter(notifier.bus, letter)
    except Temporary:
        # If nothing was sent, or the receiver rejected it, give the claim back: the bus brings the message again, and
        # the attempt is repeated. After an unknown outcome, a repeat might act twice. Then the claim stays until its
        # lease ends, and the attempt counts as one without a record.
        if attempt is None or attempt.outcome != "unknown":
            await give_back(notifier, work.claim)
        raise
    return await record(notifier, work, settlement, "dead_lettered", code, reason)


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
