"""What an attempt's outcome makes of its delivery: written in the ledger before the bus may forget it."""

from functions.notify.own_dead_letters import letter_of
from functions.notify.registry import Configured
from functions.notify.retry import MAX_UNKNOWN, next_retry_at, unknown_wait_seconds
from functions.notify.work import Acknowledged, Nacked, Parts, Result, Work
from shared.dead_letters import dead_letter_message
from shared.delivery import Delivered, Disabled, Outcome, Refused, RetryLater, Unknown
from shared.errors import Temporary
from shared.logs import log
from shared.ports import DEAD_LETTERS


async def settle(
    parts: Parts, work: Work, configured: Configured, outcome: Outcome, *, dedupes_repeats: bool
) -> Result:
    """Raises Temporary."""
    if isinstance(outcome, Delivered):
        written = await parts.ledger.done(work.key, work.claim.fence, parts.clock.now(), outcome.answer)
        return _acknowledged(work, "delivered") if written else _lost(work)
    if isinstance(outcome, Refused):
        return await give_up(parts, work, outcome.code, outcome.reason, outcome.answer)
    if isinstance(outcome, Disabled):
        return await _disable(parts, work, outcome)
    if isinstance(outcome, Unknown):
        return await _settle_unknown(parts, work, configured, outcome, dedupes_repeats)
    return await _retry(parts, work, configured, outcome)


async def _settle_unknown(
    parts: Parts, work: Work, configured: Configured, outcome: Unknown, dedupes_repeats: bool
) -> Result:
    """Hold it, wait longer than after a failure, or end it with a dead letter. A repeat may have its effect twice."""
    if configured.on_unknown == "hold":
        return await hold_unknown(parts, work, outcome.reason)
    count, number = work.claim.unknown_count + 1, work.claim.attempt_number
    if is_last_unknown(configured, count, dedupes_repeats):
        return await give_up_unknown(parts, work, count, outcome.reason, outcome.answer, is_sent=True)
    now = parts.clock.now()
    at = next_retry_at(configured.retry_seconds, number, work.key, now, unknown_wait_seconds(count))
    if at is None:
        reason = unknown_words(f"attempt {number}, the last: {outcome.reason}")
        return await give_up(parts, work, "exhausted", reason, outcome.answer, is_sent=True)
    reason = unknown_words(outcome.reason)
    written = await parts.ledger.retry_at(work.key, work.claim.fence, now, at, reason, outcome.answer, is_unknown=True)
    return _acknowledged(work, "unknown", reason=reason) if written else _lost(work)


def unknown_words(reason: str) -> str:
    return f"{reason}; accepted or not: unknown"


def is_last_unknown(configured: Configured, unknown_count: int, dedupes_repeats: bool) -> bool:
    """With `hold`, an operator decides about each repeat, so there is no limit."""
    return configured.on_unknown == "resend" and not dedupes_repeats and unknown_count >= MAX_UNKNOWN


async def hold_unknown(parts: Parts, work: Work, reason: str) -> Result:
    act = f"`hookchain release {work.delivery.destination}` sends it again"
    return await hold(parts, work, f"{unknown_words(reason)}. Ask the recipient; {act}")


async def give_up_unknown(
    parts: Parts, work: Work, unknown_count: int, reason: str, answer: str = "", *, is_sent: bool = False
) -> Result:
    words = unknown_words(f"{unknown_count} attempts in a row got no answer, the last: {reason}")
    return await give_up(parts, work, "outcome_unknown", words, answer, is_sent=is_sent)


async def _retry(parts: Parts, work: Work, configured: Configured, outcome: RetryLater) -> Result:
    number = work.claim.attempt_number
    at = next_retry_at(configured.retry_seconds, number, work.key, parts.clock.now(), outcome.after_seconds)
    if at is None:
        last = f"attempt {number}, the last: {outcome.reason}"
        result = await give_up(parts, work, "exhausted", last, outcome.answer)
    else:
        result = await wait(parts, work, at, outcome.reason, outcome.answer)
    if pause := outcome.pause_destination_seconds:  # once the outcome is noted, which is not to be lost with it
        await parts.states.pause(configured.name, pause)
    return result


async def _disable(parts: Parts, work: Work, outcome: Disabled) -> Result:
    name = work.delivery.destination
    if await parts.states.disable(name, outcome.reason):
        release = f"hookchain release {name}"
        act = outcome.reason if release in outcome.reason else f"{outcome.reason}; then `{release}`"
        log("ERROR", "destination disabled: what is owed to it is held", destination=name, reason=act)
    return await hold_while_disabled(parts, work, outcome.reason, outcome.answer)


async def hold_while_disabled(parts: Parts, work: Work, reason: str, answer: str = "") -> Result:
    """An operator may release the destination just before this one is held, and would not do so again for it."""
    result = await hold(parts, work, reason, answer)
    state = await parts.ledger.destination_state(work.delivery.destination)
    if state.disabled_reason is None:
        await parts.ledger.release(work.delivery.destination, parts.clock.now())
    return result


async def hold(parts: Parts, work: Work, reason: str, answer: str = "") -> Result:
    written = await parts.ledger.hold(work.key, work.claim.fence, parts.clock.now(), reason, answer)
    return _acknowledged(work, "held", reason=reason) if written else _lost(work)


async def wait(parts: Parts, work: Work, at: float, reason: str, answer: str = "") -> Result:
    written = await parts.ledger.retry_at(work.key, work.claim.fence, parts.clock.now(), at, reason, answer)
    return _acknowledged(work, "retry_later", reason=reason) if written else _lost(work)


async def give_up(
    parts: Parts, work: Work, code: str, reason: str, answer: str = "", *, is_sent: bool = False
) -> Result:
    """The dead letter is with the bus before the delivery is final. `is_sent`: this attempt may have been accepted."""
    now = parts.clock.now()
    letter = letter_of(work.delivery, work.message, code, reason, now)
    try:
        await parts.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
    except Temporary:
        # What was refused had no effect, so the next claim may simply try it again. What may have been accepted keeps
        # its lease: the attempt then counts as one that ended without a record.
        if not is_sent:
            await parts.ledger.give_back(work.key, work.claim.fence, now)
        raise
    written = await parts.ledger.failed(work.key, work.claim.fence, now, f"{code}: {reason}", answer)
    return _acknowledged(work, "dead_letter", code, reason) if written else _lost(work)


def _acknowledged(work: Work, outcome: str, code: str | None = None, reason: str | None = None) -> Acknowledged:
    return Acknowledged(outcome, work.delivery, work.claim.attempt_number, code, reason)


def _lost(work: Work) -> Nacked:
    """Another worker has taken the delivery over. The bus keeps the message until that one has finished."""
    return Nacked("lease_over", work.delivery, reason="its lease was over, and another worker has it")
