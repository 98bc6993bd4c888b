"""Notify: one pushed delivery, claimed, attempted once, and its outcome recorded."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from functions.notify.attempt import attempt_once
from functions.notify.attempt_entry import attempt_entry
from functions.notify.destination import Attempt, Destination
from functions.notify.own_dead_letters import conflict_letter, unreadable_letter
from functions.notify.registry import Configured, dedupes_repeats
from functions.notify.retry import spread
from functions.notify.settle import (
    give_up,
    give_up_unknown,
    hold_unknown,
    hold_while_disabled,
    is_last_unknown,
    settle,
    unknown_words,
    wait,
)
from functions.notify.work import Acknowledged, Nacked, Parts, Result, Work
from shared.dead_letters import dead_letter_message
from shared.delivery import Delivery, Unknown, delivery_from
from shared.errors import Permanent, Temporary
from shared.journal import DeadLetter
from shared.ledger import Busy, Claim, Claimed, Conflict, Finished, Waiting
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.push import Push, parse_push

LEASE_MARGIN_SECONDS: Final = 30.0
MAX_CRASHES: Final = 3
"""A delivery whose attempts ended so often without a record probably ends the worker each time."""


async def notify(body: bytes, parts: Parts) -> Result:
    """Raises Temporary: a part of ours failed, and the bus brings it again."""
    content = body
    try:
        push = parse_push(body)
        content = push.data
        delivery = delivery_from(push.document())
    except Permanent as error:
        await _publish(parts, unreadable_letter(content, error, DELIVERIES, parts.clock.now()))
        return Acknowledged("dead_letter", code=error.code, reason=error.detail)
    # The lease alone would not tell: it ends early where the clock is set ahead or the process was paused.
    if delivery.id in parts.under_way:
        return Nacked("busy", delivery, reason="this worker has it")
    parts.under_way.add(delivery.id)
    try:
        return await _deliver(parts, push, delivery)
    finally:
        parts.under_way.remove(delivery.id)


async def _deliver(parts: Parts, push: Push, delivery: Delivery) -> Result:
    configured = parts.destinations.find(delivery.destination)
    destination = parts.destinations.connected(configured) if configured else None
    key = delivery.id
    claim = await _claim(parts, push, delivery, key, configured)
    if not isinstance(claim, Claimed):
        return await _not_ours(parts, delivery, push, claim)
    work = Work(delivery, key, push.data, claim)
    if configured is None or destination is None:
        name = delivery.destination
        return await give_up(parts, work, "destination", f"the configuration has no destination {name!r}")
    return await _work(parts, work, configured, destination)


async def _claim(parts: Parts, push: Push, delivery: Delivery, key: str, configured: Configured | None) -> Claim:
    """A replay that is forced begins a finished delivery anew, once."""
    lease = LEASE_MARGIN_SECONDS + (configured.timeout_seconds if configured else 0.0)
    due_fence = _number(push.attributes.get("due"))
    claim = await parts.ledger.claim(delivery, push.data, parts.clock.now(), lease, due_fence)
    replay = push.attributes.get("replay")
    if isinstance(claim, Finished) and replay and push.attributes.get("force") == "true":
        now = parts.clock.now()
        if await parts.ledger.reopen(key, now, replay) is not None:
            return await parts.ledger.claim(delivery, push.data, now, lease)
    return claim


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


async def _not_ours(
    parts: Parts, delivery: Delivery, push: Push, claim: Busy | Waiting | Finished | Conflict
) -> Result:
    if isinstance(claim, Busy):
        return Nacked("busy", delivery, reason="another worker has it")
    if isinstance(claim, Conflict):
        letter = conflict_letter(delivery, push.data, parts.clock.now())
        await _publish(parts, letter)
        return Acknowledged("dead_letter", delivery, code=letter.code, reason=letter.reason)
    return Acknowledged("waiting" if isinstance(claim, Waiting) else "finished", delivery)


async def _work(parts: Parts, work: Work, configured: Configured, destination: Destination) -> Result:
    # What may have ended a worker is attempted while no other such is: those that were cut off together come again
    # together, and the innocent would be counted down beside the guilty.
    alone: AbstractAsyncContextManager[None] = parts.suspects if work.claim.unknown else nullcontext()
    async with alone:
        return await _try_once(parts, work, configured, destination)


async def _try_once(parts: Parts, work: Work, configured: Configured, destination: Destination) -> Result:
    try:
        if result := await _blocked(parts, work, configured, destination):
            return result
        started = parts.clock.now()
        if not await parts.ledger.attempted(work.key, work.claim.fence, started):
            return Nacked("lease_over", work.delivery, reason="its lease was over before the attempt began")
        outcome = await attempt_once(destination, work.delivery, _attempt(work, configured, started))
    except Temporary:
        # Nothing was sent, so this attempt does not count.
        await parts.ledger.give_back(work.key, work.claim.fence, parts.clock.now())
        raise
    ended = parts.clock.now()
    result = await settle(parts, work, configured, outcome, dedupes_repeats=dedupes_repeats(destination))
    number = work.claim.attempt_number
    await parts.journaling.record(
        attempt_entry(work.delivery, work.key, number, outcome, started, ended), work.delivery.event.id
    )
    return result


async def _blocked(parts: Parts, work: Work, configured: Configured, destination: Destination) -> Result | None:
    """What is decided without an attempt; None where there is nothing against one."""
    if work.claim.unknown and (result := await _after_a_crash(parts, work, configured, destination)):
        return result
    state = await parts.states.of(configured.name)
    if state.disabled_reason is not None:
        return await hold_while_disabled(parts, work, state.disabled_reason)
    now = parts.clock.now()
    if state.paused_until is not None and now < state.paused_until:
        pause = spread(state.paused_until - now, work.key, work.claim.attempt_number)
        return await wait(parts, work, now + pause, "the destination is paused")
    return None


async def _after_a_crash(parts: Parts, work: Work, configured: Configured, destination: Destination) -> Result | None:
    """An attempt that ended without a record is unknown too, and counts like one that got no answer in time."""
    number, now = work.claim.attempt_number - 1, parts.clock.now()
    reason = f"attempt {number} ended without a record of its outcome"
    await parts.journaling.record(
        attempt_entry(work.delivery, work.key, number, Unknown(reason), now, now), work.delivery.event.id
    )
    if work.claim.crashes >= MAX_CRASHES:
        words = unknown_words(f"{work.claim.crashes} attempts in a row ended without a record")
        return await give_up(parts, work, "crashed", words)
    if configured.on_unknown == "hold":
        return await hold_unknown(parts, work, reason)
    if is_last_unknown(configured, work.claim.unknown_count, dedupes_repeats(destination)):
        return await give_up_unknown(parts, work, work.claim.unknown_count, reason)
    return None


def _attempt(work: Work, configured: Configured, now: float) -> Attempt:
    generation = work.claim.generation
    idempotency_key = f"{work.key}-r{generation}" if generation else work.key
    return Attempt(idempotency_key, work.claim.attempt_number, generation, now, configured.timeout_seconds)


async def _publish(parts: Parts, letter: DeadLetter) -> None:
    await parts.bus.publish(DEAD_LETTERS, [dead_letter_message(letter)])
