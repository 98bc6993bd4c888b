"""Settling a delivery: the ledger records what follows an attempt before the bus may forget the message.

    Delivered    nothing more
    RetryLater   the next attempt, by waiting/schedule.py; a dead letter `retries_exhausted` after its last wait,
                 `expired` where that attempt would come after the destination's `expires_after`
    Unknown      a later attempt; held with `on_unknown: hold`; a dead letter `outcome_unknown` after three in a
                 row, if the destination does not recognise a repeat
    Failed       a dead letter with the destination's code
    Disabled     held until the operator resumes the destination

A delivery to a subscriber's endpoint that fails for good is `dead_lettered` in the ledger, without a dead letter.

A dead letter publishes, before it, a delivery of the same event to the destination that `otherwise` names.

Without an attempt (then `attempt` is None), notify.py makes a dead letter of a message that cannot be read, an unknown
destination, a delivery id that was used for another payload, and a delivery whose worker died three times in a row.
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
"""After this many in a row, a destination that does not recognise a repeat gets no further attempt."""
PERSIST_WAITS_SECONDS: Final = (0.2, 0.5, 1.0, 2.0)
"""The waits between the tries of a write. The last wait repeats. Each try has the store's own retries of under a
second."""
LEASE_END_SECONDS: Final = 3.0
"""No try begins so shortly before the lease ends: another worker may take the delivery then."""

Answer = TypeVar("Answer")


async def settle(notifier: Notifier, work: Work, target: Target, outcome: Outcome, attempt: AttemptEntry) -> Result:
    """Record what follows the attempt. Raises Temporary."""
    if isinstance(outcome, Delivered):
        return await record(notifier, work, Settlement(DELIVERED, attempt.ended_at, "", attempt), "delivered")
    if isinstance(outcome, Failed):
        return await give_up(notifier, work, outcome.code, outcome.reason, attempt)
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
    """Write what follows a claim, and start the timer of a short wait. Raises Temporary."""
    if await persist(notifier, work.claim, lambda: notifier.ledger.settle(work.claim, settlement)):
        # The sweep publishes a delivery that waits in a group together with the group, so it needs no timer.
        if settlement.retry_at is not None and not settlement.group:
            await start_timer(notifier.bus, notifier.clock, work.claim, settlement.retry_at, settlement.has_slot)
        return Acknowledged(outcome, work.delivery, work.attempt_number, code, reason)
    # Another worker has taken over: the bus keeps the message until that one has finished.
    return Nacked("lease_expired", work.delivery, reason="its lease had expired, and another worker has it")


async def give_back(notifier: Notifier, claim: Claimed) -> None:
    """Undo a claim, because nothing was sent: the attempt does not count. Raises Temporary."""
    now = notifier.clock.now()
    await persist(notifier, claim, lambda: notifier.ledger.give_back(claim, now))


async def persist(notifier: Notifier, claim: Claimed, write: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a write that ends a claim. Repeat it while it raises Temporary, until shortly before the lease ends.

    The claim marks the attempt as begun. If a second of throttling lost its outcome, the request would be sent again,
    or an attempt that sent nothing would count. Raises the last Temporary. On Lambda the invocation's deadline may
    cancel it earlier. A write that only begins something needs no repeat: the bus brings the message again.
    """
    count = 0
    while True:
        try:
            return await write()
        except Temporary:
            wait_seconds = PERSIST_WAITS_SECONDS[min(count, len(PERSIST_WAITS_SECONDS) - 1)]
            if notifier.clock.now() + wait_seconds + LEASE_END_SECONDS >= claim.row.lease_until:
                raise
        await notifier.sleep(wait_seconds)
        count += 1


async def _settle_unknown(
    notifier: Notifier, work: Work, target: Target, outcome: Unknown, attempt: AttemptEntry
) -> Result:
    """Hold or end the delivery, or wait longer than after a failure: a repeat may have its effect twice."""
    unknown_count = work.claim.row.unknown_count + 1
    ended = await end_unknown(notifier, work, target, unknown_count, outcome.reason, attempt)
    if ended:
        return ended
    wait_seconds = unknown_wait_seconds(unknown_count)
    next_at = _next_attempt_at(notifier, work, target.configured, wait_seconds)
    if next_at is None:
        reason = unknown_reason(f"attempt {work.attempt_number}, the last: {outcome.reason}")
        return await give_up(notifier, work, "retries_exhausted", reason, attempt)
    return await let_wait(notifier, work, target.configured, next_at, unknown_reason(outcome.reason), attempt)


async def end_unknown(
    notifier: Notifier,
    work: Work,
    target: Target,
    unknown_count: int,
    reason: str,
    attempt: AttemptEntry | None = None,
) -> Result | None:
    """Hold the delivery, or give it up, after so many attempts in a row with an unknown outcome.

    Return None where a repeat may follow: with `on_unknown: resend`, until there were MAX_UNKNOWN of them, and for ever
    where the receiver recognises a repeat.
    """
    if target.configured.on_unknown == "hold":
        name = work.delivery.destination
        advice = f"Ask the recipient; `hookchain release {name}` sends it again"
        if endpoint_name(name):  # its tenant reads this, and has no commands
            advice = "It waits until the operator releases it"
        return await hold(notifier, work, f"{unknown_reason(reason)}. {advice}", attempt, needs_release=True)
    if unknown_count < MAX_UNKNOWN or dedupes_repeats(target.destination):
        return None
    reason = unknown_reason(f"{unknown_count} attempts in a row got no answer, the last: {reason}")
    return await give_up(notifier, work, "outcome_unknown", reason, attempt)


def unknown_reason(reason: str) -> str:
    return f"{reason}; accepted or not: unknown"


async def _retry(
    notifier: Notifier, work: Work, configured: Configured, outcome: RetryLater, attempt: AttemptEntry
) -> Result:
    next_at = _next_attempt_at(notifier, work, configured, outcome.after_seconds)
    if next_at is None:
        reason = f"attempt {work.attempt_number}, the last: {outcome.reason}"
        result = await give_up(notifier, work, "retries_exhausted", reason, attempt)
    else:
        result = await let_wait(notifier, work, configured, next_at, outcome.reason, attempt)
    # The pause comes last: if its write failed before, the outcome of the attempt would be lost with it.
    pause_seconds = outcome.pause_destination_seconds
    if pause_seconds:
        await persist(
            notifier, work.claim, lambda: notifier.states.pause(configured.name, pause_seconds, outcome.reason)
        )
    return result


def _next_attempt_at(
    notifier: Notifier, work: Work, configured: Configured, asked_wait_seconds: float | None
) -> float | None:
    """Return the time of the next attempt by the destination's schedule; None after the last.

    It does not come before `asked_wait_seconds`, which a receiver or an unknown outcome asks for.
    """
    row = work.claim.row
    in_schedule = number_in_schedule(row.attempts, work.attempt_number)
    return next_retry_at(configured.retry_seconds, in_schedule, row.key, notifier.clock.now(), asked_wait_seconds)


async def _disable(notifier: Notifier, work: Work, outcome: Disabled, attempt: AttemptEntry) -> Result:
    name = work.delivery.destination
    if await persist(notifier, work.claim, lambda: notifier.states.disable(name, outcome.reason)):
        resume = f"hookchain resume {name}"
        advice = outcome.reason if resume in outcome.reason else f"{outcome.reason}; then `{resume}`"
        log("ERROR", "destination disabled: its deliveries are held", destination=name, reason=advice)
    return await hold_while_disabled(notifier, work, outcome.reason, attempt)


async def hold_while_disabled(
    notifier: Notifier, work: Work, reason: str, attempt: AttemptEntry | None = None
) -> Result:
    """Hold the delivery, and release it where an operator resumed the destination just before."""
    result = await hold(notifier, work, reason, attempt)
    name = work.delivery.destination
    # The delivery is held already: if this gave up early, a released destination would leave it held for ever.
    state = await persist(notifier, work.claim, lambda: notifier.ledger.destination_state(name))
    if state.disabled_reason is None:
        await persist(notifier, work.claim, lambda: notifier.ledger.release(name, notifier.clock.now()))
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


async def let_wait(
    notifier: Notifier,
    work: Work,
    configured: Configured,
    at: float,
    reason: str,
    attempt: AttemptEntry | None = None,
    group: str = "",
    has_slot: bool = False,
) -> Result:
    """Schedule the next attempt; none comes after the event has expired. Without an attempt now, it is deferred.

    With a group, it waits in that group from now on. `has_slot`: a cap gave the delivery this time.
    """
    expires_after = configured.expires_after_seconds
    if expires_after is not None and at >= expires_at(work.delivery.event, expires_after):
        return await give_up_expired(notifier, work, reason, attempt, next_at=at)
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


async def give_up_expired(
    notifier: Notifier,
    work: Work,
    last_reason: str,
    attempt: AttemptEntry | None = None,
    next_at: float | None = None,
) -> Result:
    """Give up a delivery whose time is over, or is over before `next_at`, the time of its next attempt."""
    missed = "it was delivered" if next_at is None else f"its next attempt, which would come at {rfc3339(next_at)}"
    last_time = f"; the last time: {last_reason}" if last_reason else ""
    return await give_up(notifier, work, "expired", f"its time was over before {missed}{last_time}", attempt)


async def give_up(
    notifier: Notifier, work: Work, code: PermanentCode, reason: str, attempt: AttemptEntry | None = None
) -> Result:
    """Publish what follows before the delivery is final: the delivery that `otherwise` asks for, and a dead letter."""
    now = notifier.clock.now()
    otherwise = _otherwise(notifier, work.delivery)
    if otherwise is not None:
        reason = f"{reason}; {otherwise.destination!r} gets it instead"
    settlement = Settlement(DEAD_LETTERED, now, f"{code}: {reason}", attempt)
    if endpoint_name(work.delivery.destination):  # the tenant's message keeps the event
        return await record(notifier, work, settlement, "dead_lettered", code, reason)
    letter = delivery_letter(work.delivery, work.claim.message, code, reason, now)
    try:
        if otherwise is not None:
            message = delivery_message(otherwise, event_json(otherwise.event), rfc3339(now), {})
            await notifier.bus.publish(DELIVERIES, [message])
        await publish_dead_letter(notifier.bus, letter)
    except Temporary:
        # The delivery is given back if nothing was sent or the receiver rejected it: the bus brings it again, and the
        # attempt is repeated. After an unknown outcome a repeat might have its effect twice. So that delivery keeps
        # its lease, and counts as an attempt without a record once the lease is over.
        if attempt is None or attempt.outcome != "unknown":
            await give_back(notifier, work.claim)
        raise
    return await record(notifier, work, settlement, "dead_lettered", code, reason)


def _otherwise(notifier: Notifier, delivery: Delivery) -> Delivery | None:
    """Return the delivery of the same event to the destination that gets what this one does not; None without one.

    Its id is made as for any delivery, so it is delivered once, even if it is published several times.
    """
    configured = notifier.destinations.configured
    mine = configured.get(delivery.destination)
    if mine is None or mine.otherwise is None or mine.otherwise not in configured:
        return None
    return Delivery(delivery.event, delivery.route, mine.otherwise, merged=delivery.merged)
