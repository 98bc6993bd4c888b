"""What an attempt's outcome makes of its delivery: written in the ledger before the bus may forget it."""

from functions.notify.attempt import Unknown
from functions.notify.own_dead_letters import letter_of
from functions.notify.registry import Configured
from functions.notify.retry import next_retry_at
from functions.notify.work import Acknowledged, Nacked, Parts, Result, Work
from shared.dead_letters import dead_letter_message
from shared.delivery import Delivered, Disabled, Outcome, Refused, RetryLater
from shared.errors import Temporary
from shared.logs import log
from shared.ports import DEAD_LETTERS


async def settle(parts: Parts, work: Work, configured: Configured, outcome: Outcome | Unknown) -> Result:
    """Raises Temporary."""
    if isinstance(outcome, Delivered):
        written = await parts.ledger.done(work.key, work.claim.fence, parts.clock.now(), outcome.answer)
        return _acknowledged(work, "delivered") if written else _lost(work)
    if isinstance(outcome, Refused):
        return await give_up(parts, work, outcome.code, outcome.reason, outcome.answer)
    if isinstance(outcome, Disabled):
        return await _disable(parts, work, outcome)
    if isinstance(outcome, Unknown) and configured.on_unknown == "hold":
        return await hold(parts, work, unknown_reason(outcome.reason))
    return await _retry(parts, work, configured, outcome)


def unknown_reason(reason: str) -> str:
    return f"{reason}; whether it was taken is not known: release the destination to send it again"


async def _retry(parts: Parts, work: Work, configured: Configured, outcome: RetryLater | Unknown) -> Result:
    after = outcome.after_seconds if isinstance(outcome, RetryLater) else None
    pause = outcome.pause_destination_seconds if isinstance(outcome, RetryLater) else None
    number = work.claim.attempt_number
    at = next_retry_at(configured.retry_seconds, number, work.key, parts.clock.now(), after)
    if at is None:
        last = f"attempt {number}, the last: {outcome.reason}"
        result = await give_up(parts, work, "exhausted", last, outcome.answer)
    else:
        result = await wait(parts, work, at, outcome.reason, outcome.answer)
    if pause:  # once the outcome is noted, which is not to be lost with it
        await parts.states.pause(configured.name, pause)
    return result


async def _disable(parts: Parts, work: Work, outcome: Disabled) -> Result:
    name = work.delivery.destination
    if await parts.states.disable(name, outcome.reason):
        act = f"{outcome.reason}; then `hookchain release {name}`"
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


async def give_up(parts: Parts, work: Work, code: str, reason: str, answer: str = "") -> Result:
    """The dead letter is with the bus before the delivery is final."""
    now = parts.clock.now()
    letter = letter_of(work.delivery, work.message, code, reason, now)
    try:
        await parts.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
    except Temporary:
        # What was refused had no effect, so the next claim may simply try it again.
        await parts.ledger.give_back(work.key, work.claim.fence, now)
        raise
    written = await parts.ledger.failed(work.key, work.claim.fence, now, f"{code}: {reason}", answer)
    return _acknowledged(work, "dead_letter", code, reason) if written else _lost(work)


def _acknowledged(work: Work, outcome: str, code: str | None = None, reason: str | None = None) -> Acknowledged:
    return Acknowledged(outcome, work.delivery, work.claim.attempt_number, code, reason)


def _lost(work: Work) -> Nacked:
    """Another worker has taken the delivery over. The bus keeps the message until that one has finished."""
    return Nacked("lease_over", work.delivery, reason="its lease was over, and another worker has it")
