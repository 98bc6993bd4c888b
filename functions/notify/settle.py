"""Settling a delivery: what an attempt's outcome makes of it is in the ledger before the bus may forget it."""

from functions.notify.dead_letters import delivery_letter
from functions.notify.destination import Destination
from functions.notify.registry import Configured, dedupes_repeats
from functions.notify.retry import MAX_UNKNOWN, next_retry_at, unknown_wait_seconds
from functions.notify.work import Acknowledged, Nacked, Notifier, Result, Work
from shared.dead_letters import dead_letter_message
from shared.delivery import Delivered, Disabled, Outcome, Refused, RetryLater, Unknown
from shared.errors import PermanentCode, Temporary
from shared.logs import log
from shared.ports import DEAD_LETTERS


async def settle(
    notifier: Notifier, work: Work, configured: Configured, destination: Destination, outcome: Outcome
) -> Result:
    """Raises Temporary."""
    if isinstance(outcome, Delivered):
        written = await notifier.ledger.done(work.key, work.claim.fence, notifier.clock.now(), outcome.answer)
        return _acknowledged(work, "delivered") if written else _lost(work)
    if isinstance(outcome, Refused):
        return await give_up(notifier, work, outcome.code, outcome.reason, outcome.answer)
    if isinstance(outcome, Disabled):
        return await _disable(notifier, work, outcome)
    if isinstance(outcome, Unknown):
        return await _settle_unknown(notifier, work, configured, destination, outcome)
    return await _retry(notifier, work, configured, outcome)


async def _settle_unknown(
    notifier: Notifier, work: Work, configured: Configured, destination: Destination, outcome: Unknown
) -> Result:
    """Hold it, wait longer than after a failure, or end it with a dead letter. A repeat may have its effect twice."""
    if configured.on_unknown == "hold":
        return await hold_unknown(notifier, work, outcome.reason)
    count, number = work.claim.unknown_count + 1, work.claim.attempt_number
    if is_last_unknown(configured, destination, count):
        return await give_up_unknown(notifier, work, count, outcome.reason, outcome.answer, is_sent=True)
    now = notifier.clock.now()
    at = next_retry_at(configured.retry_seconds, number, work.key, now, unknown_wait_seconds(count))
    if at is None:
        reason = unknown_reason(f"attempt {number}, the last: {outcome.reason}")
        return await give_up(notifier, work, "retries_exhausted", reason, outcome.answer, is_sent=True)
    reason = unknown_reason(outcome.reason)
    written = await notifier.ledger.retry_at(
        work.key, work.claim.fence, now, at, reason, outcome.answer, is_unknown=True
    )
    return _acknowledged(work, "unknown", reason=reason) if written else _lost(work)


def unknown_reason(reason: str) -> str:
    return f"{reason}; accepted or not: unknown"


def is_last_unknown(configured: Configured, destination: Destination, unknown_count: int) -> bool:
    """Return True where no repeat may follow. With `hold`, an operator decides about each, so there is no limit."""
    return configured.on_unknown == "resend" and not dedupes_repeats(destination) and unknown_count >= MAX_UNKNOWN


async def hold_unknown(notifier: Notifier, work: Work, reason: str) -> Result:
    act = f"`hookchain release {work.delivery.destination}` sends it again"
    return await hold(notifier, work, f"{unknown_reason(reason)}. Ask the recipient; {act}")


async def give_up_unknown(
    notifier: Notifier, work: Work, unknown_count: int, reason: str, answer: str = "", *, is_sent: bool = False
) -> Result:
    reason = unknown_reason(f"{unknown_count} attempts in a row got no answer, the last: {reason}")
    return await give_up(notifier, work, "outcome_unknown", reason, answer, is_sent=is_sent)


async def _retry(notifier: Notifier, work: Work, configured: Configured, outcome: RetryLater) -> Result:
    number = work.claim.attempt_number
    at = next_retry_at(configured.retry_seconds, number, work.key, notifier.clock.now(), outcome.after_seconds)
    if at is None:
        last = f"attempt {number}, the last: {outcome.reason}"
        result = await give_up(notifier, work, "retries_exhausted", last, outcome.answer)
    else:
        result = await wait(notifier, work, at, outcome.reason, outcome.answer)
    if pause := outcome.pause_destination_seconds:  # once the outcome is noted, which is not to be lost with it
        await notifier.states.pause(configured.name, pause)
    return result


async def _disable(notifier: Notifier, work: Work, outcome: Disabled) -> Result:
    name = work.delivery.destination
    if await notifier.states.disable(name, outcome.reason):
        release = f"hookchain release {name}"
        act = outcome.reason if release in outcome.reason else f"{outcome.reason}; then `{release}`"
        log("ERROR", "destination disabled: what is owed to it is held", destination=name, reason=act)
    return await hold_while_disabled(notifier, work, outcome.reason, outcome.answer)


async def hold_while_disabled(notifier: Notifier, work: Work, reason: str, answer: str = "") -> Result:
    """Hold the delivery, and release it where an operator released the destination just before."""
    result = await hold(notifier, work, reason, answer)
    state = await notifier.ledger.destination_state(work.delivery.destination)
    if state.disabled_reason is None:
        await notifier.ledger.release(work.delivery.destination, notifier.clock.now())
    return result


async def hold(notifier: Notifier, work: Work, reason: str, answer: str = "") -> Result:
    written = await notifier.ledger.hold(work.key, work.claim.fence, notifier.clock.now(), reason, answer)
    return _acknowledged(work, "held", reason=reason) if written else _lost(work)


async def wait(notifier: Notifier, work: Work, at: float, reason: str, answer: str = "") -> Result:
    written = await notifier.ledger.retry_at(work.key, work.claim.fence, notifier.clock.now(), at, reason, answer)
    return _acknowledged(work, "retry_later", reason=reason) if written else _lost(work)


async def give_up(
    notifier: Notifier, work: Work, code: PermanentCode, reason: str, answer: str = "", *, is_sent: bool = False
) -> Result:
    """Publish a dead letter before the delivery is final. `is_sent`: this attempt may have been accepted."""
    now = notifier.clock.now()
    letter = delivery_letter(work.delivery, work.message, code, reason, now)
    try:
        await notifier.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
    except Temporary:
        # What was refused had no effect, so the next claim may simply try it again. What may have been accepted keeps
        # its lease: the attempt then counts as one that ended without a record.
        if not is_sent:
            await notifier.ledger.give_back(work.key, work.claim.fence, now)
        raise
    written = await notifier.ledger.failed(work.key, work.claim.fence, now, f"{code}: {reason}", answer)
    return _acknowledged(work, "dead_letter", code, reason) if written else _lost(work)


def _acknowledged(
    work: Work, outcome: str, code: PermanentCode | None = None, reason: str | None = None
) -> Acknowledged:
    return Acknowledged(outcome, work.delivery, work.claim.attempt_number, code, reason)


def _lost(work: Work) -> Nacked:
    """Return the result where another worker has taken over: the bus keeps the message until that one has finished."""
    return Nacked("lease_over", work.delivery, reason="its lease was over, and another worker has it")
