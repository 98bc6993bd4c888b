"""The copies of a delivery: messages of it that the bus brings while another one is under way.

The other message is under way either here, in this process, where `Notifier.under_way` has it, or elsewhere: then the
ledger rejects the claim. A sender that repeats its requests, or their ids, causes copies, and the bus may bring one
message twice. If each copy were nacked, Pub/Sub would slow down the whole subscription. So a copy that is not needed is
acknowledged, and any other waits until the message that is under way has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from functions.notify import attempt, settle
from functions.notify.notifier import Acknowledged, FirstMessage, Nacked, Notifier, Result
from shared import ledger_rules, outcomes
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.push import Push

BUSY: Final[outcomes.DeliveryOutcome] = "busy"
BUSY_WAITS_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0)
"""The waits, give or take half, between two tries to deliver what another message has under way."""
LAST_TRY_SECONDS: Final = 18.0
"""How long after its arrival the last of these tries may begin. An attempt may still follow it, and must end before the
bus's call of this function does: see `attempt_margin` in deploy/topology/functions.py."""

Deliver: TypeAlias = Callable[[Notifier, Push, Delivery], Awaitable[Result]]


async def deliver_alone(notifier: Notifier, push: Push, delivery: Delivery, deliver: Deliver) -> Result:
    """Deliver with `deliver`, unless another message of the delivery is under way here. Raises Temporary."""
    # The lease in the ledger is not enough: it ends early if the clock is set ahead or the process was paused.
    if first := notifier.under_way.get(delivery.id):
        return await _result_beside(notifier, push, delivery, first)
    notifier.under_way[delivery.id] = FirstMessage(push.message_id, delivery.event.claimed_hash)
    try:
        return await deliver(notifier, push, delivery)
    finally:
        del notifier.under_way[delivery.id]


async def deliver_later(
    notifier: Notifier, push: Push, delivery: Delivery, deliver: Deliver, busy: Result, arrived_at: float
) -> Result:
    """Wait until the other message of the delivery has ended, then deliver. Most often, nothing is left to do then.

    `busy` is the result of the first try. `arrived_at` is the time of the event loop at which the message arrived.
    Raises Temporary.
    """
    # On AWS, a nack delays only its own message, but a message that waits delays its whole batch.
    if notifier.instances is not None or not notifier.gate.hold_copy():
        return busy
    last_try_at = arrived_at + LAST_TRY_SECONDS
    try:
        if delivery.id in notifier.under_way:
            return await _repeat_while_busy(
                notifier, lambda: deliver_alone(notifier, push, delivery, deliver), busy, last_try_at
            )
        # It is under way elsewhere. From now on, this copy counts as under way here, so that no further copy waits.
        notifier.under_way[delivery.id] = FirstMessage(push.message_id, delivery.event.claimed_hash)
        try:
            return await _repeat_while_busy(notifier, lambda: deliver(notifier, push, delivery), busy, last_try_at)
        finally:
            del notifier.under_way[delivery.id]
    finally:
        notifier.gate.end_copy()


async def _repeat_while_busy(
    notifier: Notifier, try_once: Callable[[], Awaitable[Result]], busy: Result, last_try_at: float
) -> Result:
    """Return the first result that is not busy. If there is none in time, return the last one."""
    clock = asyncio.get_running_loop().time
    result = busy
    for wait_seconds in BUSY_WAITS_SECONDS:
        seconds_left = last_try_at - clock()
        if seconds_left <= 0:
            break
        await notifier.sleep(min(wait_seconds, seconds_left))
        result = await try_once()
        if result.outcome != BUSY:
            break
    return result


async def _result_beside(notifier: Notifier, push: Push, delivery: Delivery, first: FirstMessage) -> Result:
    """Return the result for a copy of `first`, the message of the delivery that is under way here. Raises Temporary.

    It is nacked only if it may still be needed: if it is the first message, which the bus brought twice, or if it has
    other attributes, such as a replay's.
    """
    busy = Nacked(BUSY, delivery, reason="this worker has it")
    has_only_event_attributes = all(name.startswith("ce-") for name in push.attributes)
    is_plain = has_only_event_attributes and delivery.destination != ROUTE_ITSELF
    have_ids = bool(push.message_id and first.message_id)
    is_other_message = have_ids and push.message_id != first.message_id
    if not is_plain or not is_other_message:
        return busy
    if not ledger_rules.is_conflict(delivery.event.claimed_hash, first.claimed_hash):
        # The bus keeps the first message until its work has ended, so this one can be forgotten.
        return Acknowledged("duplicate", delivery, reason="this worker has another message of the same delivery")
    work = await attempt.claim_delivery(notifier, push, delivery)
    if isinstance(work, Result):  # most often a dead letter, because another event has this delivery's id
        return work
    await settle.give_back(notifier, work.claim)
    return busy
