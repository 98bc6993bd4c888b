"""The path of a delivery that the bus pushed: open this file first.

    read the message           a delivery, or a dead letter about what cannot be read
    find its target            a configured destination (registry.py), or a subscriber's endpoint (subscribers/)
    wait for its other copy    where another message of it is under way
    let it wait for others     where the destination gathers deliveries (digests/)
    give it a place            in this process, or put it back on the bus
    claim and attempt it once  unless something makes it wait (attempt.py, which asks waiting/ and recipients/)
    record what follows        delivered, a later attempt, held or a dead letter (settle.py)

What waits in the ledger comes back through the sweep (waiting/sweep.py).

The bus gives a process a limited number of messages at once, and shared/outgoing/gate.py lets no destination and no
sender take all of these places. On AWS, an instance also needs a lease to try a destination that may hang
(shared/outgoing/instance_leases.py). A delivery without a place is put back on the bus, up to MAX_PUT_BACKS times.
After that, or if its destination is in trouble, it waits in the ledger, where an operator sees it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from functions.notify import attempt, claims, dead_letters, settle
from functions.notify.notifier import Acknowledged, FirstMessage, Nacked, Notifier, Result
from functions.notify.registry import DeliveryOptions, Target
from functions.notify.waiting import caps, due, schedule
from shared import errors, journal, jsontext, ledger_rules, outcomes, ports, times
from shared.delivery import ROUTE_ITSELF, Delivery, delivery_from
from shared.outgoing.gate import ADMITTED, Admitted, ComeBack, ProcessGate
from shared.push import Push, parse_push
from shared.subscribers.names import ENDPOINT_CHANGED, SEPARATOR

if TYPE_CHECKING:
    from functions.notify.subscribers.fan_out import FanOut
    from shared.outgoing.instance_leases import InstanceLeases

PUT_BACK: Final = "put-back"
"""The attribute that counts how often a message was put back on the bus."""
MAX_PUT_BACKS: Final = 3
"""How often. If larger, a delivery without a place is for longer in no list that an operator sees."""
BUSY: Final[outcomes.DeliveryOutcome] = "busy"
BUSY_WAITS_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0)
"""The waits, give or take half, between two tries to deliver what another message has under way."""
LAST_TRY_SECONDS: Final = 18.0
"""How long after its arrival the last of these tries may begin. An attempt may still follow it, and must end before the
bus's call of this function does: see `attempt_margin` in deploy/topology/functions.py."""


async def notify(pushed: bytes | Push, notifier: Notifier) -> Result:
    """Deliver what the bus pushed: a message, or the body of the HTTP request that has the message.

    Raises Temporary if a part of Hookchain failed: the bus must bring the message again.
    """
    result: Result | None = None
    try:
        message = _read(pushed, notifier.clock)
        if isinstance(message, journal.DeadLetter):
            await dead_letters.publish_dead_letter(notifier.bus, message)
            result = Acknowledged("dead_lettered", code=message.code, reason=message.reason)
            return result
        push, delivery = message
        if notifier.spans is not None:
            notifier.spans.begin(push, delivery)
        was_delayed = due.DUE in push.attributes or PUT_BACK in push.attributes
        is_copy = delivery.id in notifier.under_way
        if not was_delayed and not is_copy:  # only a new message shows how long messages wait in the bus
            notifier.gate.note_arrival(_waited_seconds(push.document(), notifier.clock.now()))
        arrived_at = asyncio.get_running_loop().time()
        result = await _deliver_alone(notifier, push, delivery)
        if result.outcome == BUSY:
            result = await _deliver_later(notifier, push, delivery, result, arrived_at)
        return result
    finally:
        notifier.gate.note_answer(is_acknowledged=isinstance(result, Acknowledged))


def _read(pushed: bytes | Push, clock: ports.Clock) -> tuple[Push, Delivery] | journal.DeadLetter:
    """Return the message and its delivery, or a dead letter if they cannot be read."""
    unread = pushed if isinstance(pushed, bytes) else pushed.data
    try:
        push = parse_push(pushed) if isinstance(pushed, bytes) else pushed
        unread = push.data
        return push, delivery_from(push.document())
    except errors.Permanent as error:
        return dead_letters.unreadable_letter(unread, error, ports.DELIVERIES, clock.now())


def _waited_seconds(document: jsontext.Json, now: float) -> float:
    """Return how long the message waited since it was published, by the time in it; 0 if it has none."""
    time = document.get("time") if isinstance(document, dict) else None
    try:
        return now - times.unix_seconds(time) if isinstance(time, str) else 0.0
    except ValueError:
        return 0.0


# The copies of a delivery: messages of it that the bus brings while another one is under way, either here, where
# `Notifier.under_way` has it, or elsewhere, where the ledger rejects the claim. A sender that repeats its requests, or
# their ids, causes copies, and the bus may bring one message twice. If each copy were nacked, Pub/Sub would slow down
# the whole subscription. So a copy that is not needed is acknowledged, and any other waits until the message that is
# under way has ended.


async def _deliver_alone(notifier: Notifier, push: Push, delivery: Delivery) -> Result:
    """Deliver, unless another message of the delivery is under way here. Raises Temporary."""
    # The lease in the ledger is not enough: it ends early if the clock is set ahead or the process was paused.
    if first := notifier.under_way.get(delivery.id):
        return await _result_beside(notifier, push, delivery, first)
    notifier.under_way[delivery.id] = FirstMessage(push.message_id, delivery.event.claimed_hash)
    try:
        return await _deliver(notifier, push, delivery)
    finally:
        del notifier.under_way[delivery.id]


async def _deliver_later(notifier: Notifier, push: Push, delivery: Delivery, busy: Result, arrived_at: float) -> Result:
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
                notifier, lambda: _deliver_alone(notifier, push, delivery), busy, last_try_at
            )
        # It is under way elsewhere. From now on, this copy counts as under way here, so that no further copy waits.
        notifier.under_way[delivery.id] = FirstMessage(push.message_id, delivery.event.claimed_hash)
        try:
            return await _repeat_while_busy(notifier, lambda: _deliver(notifier, push, delivery), busy, last_try_at)
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

    It is nacked only if it may still be needed: if it is the first message, which the bus brought twice, if it asks for
    more than a delivery, such as a replay does by its attributes, or if it runs a waiting route again.
    """
    busy = Nacked(BUSY, delivery, reason="this worker has it")
    have_ids = bool(push.message_id and first.message_id)
    may_be_first = push.message_id == first.message_id or not have_ids
    asks_for_more = any(not name.startswith("ce-") for name in push.attributes)
    if may_be_first or asks_for_more or delivery.destination == ROUTE_ITSELF:
        return busy
    if not ledger_rules.is_conflict(delivery.event.claimed_hash, first.claimed_hash):
        # The bus keeps the first message until its work has ended, so this one can be forgotten.
        return Acknowledged("duplicate", delivery, reason="this worker has another message of the same delivery")
    work = await claims.claim_delivery(notifier, push, delivery)
    if isinstance(work, Result):  # most often a dead letter, because another event has this delivery's id
        return work
    await settle.give_back(notifier, work.claim)
    return busy


# A delivery that no other message has under way here


async def _deliver(notifier: Notifier, push: Push, delivery: Delivery) -> Result:
    """Find the target of the delivery, then attempt it if it gets a place in this process. Raises Temporary."""
    if delivery.destination == ROUTE_ITSELF:
        # Imported here, because few configurations have steps that ask.
        from functions.notify.waiting.routes import take_waiting_route

        return await take_waiting_route(notifier, push, delivery)
    target = notifier.destinations.target_of(delivery) or await _find_endpoint(notifier, push, delivery)
    if isinstance(target, dead_letters.DeadLetterReason):
        work = await claims.claim_delivery(notifier, push, delivery)
        if isinstance(work, Result):
            return work
        return await settle.dead_letter(notifier, work, target)
    if target.configured.gather is not None:
        # Imported here, because few destinations gather.
        from functions.notify.digests.arrival import gather

        if gathered := await gather(notifier, push, delivery, target.configured):
            return await claims.unclaimed_result(notifier, push, delivery, gathered)
    put_backs = push.number(PUT_BACK) or 0
    place = _place_for(target, delivery, put_backs)
    result = await _attempt_in_place(notifier, push, delivery, target, place)
    if not isinstance(result, ComeBack):
        return result
    # It waits for a place: on the bus first, then in the ledger.
    reason = _no_place_reason(notifier.gate, target.configured, place.lane, result)
    if result.health != "troubled" and put_backs < MAX_PUT_BACKS and notifier.bus.max_delay_seconds:
        return await _put_back(notifier, push, delivery, result, put_backs, reason)
    no_place = schedule.Wait(notifier.clock.now() + result.seconds, reason)
    return await attempt.claim_and_attempt(notifier, push, delivery, target, no_place)


async def _find_endpoint(notifier: Notifier, push: Push, delivery: Delivery) -> Target | dead_letters.DeadLetterReason:
    """Return the subscriber's endpoint, or the reason why there is none. Raises Temporary.

    If the tenant asked for an attempt now, a pause of the endpoint ends here, before anything waits for it.
    """
    if notifier.endpoints is None:
        reason = f"the configuration has no destination {delivery.destination!r}"
        return dead_letters.DeadLetterReason("unknown_destination", reason)
    is_wanted_now = push.attributes.get("attempt") == "now"
    changed_ms = push.number(ENDPOINT_CHANGED) or 0
    target = await notifier.endpoints.resolve(delivery, changed_ms, is_fresh=is_wanted_now)
    if isinstance(target, Target) and is_wanted_now:
        await notifier.states.end_pause(target.configured.name)
    return target


class _WantedPlace(NamedTuple):
    """The place that a delivery needs in this process.

    lane       the receiver that the attempt calls
    group      that for which the attempt is made at one destination: a tenant, a key of `per`, or a source
    put_backs  how often the delivery found no place and was put back on the bus
    """

    lane: str
    group: str
    put_backs: int


async def _attempt_in_place(
    notifier: Notifier, push: Push, delivery: Delivery, target: Target, place: _WantedPlace
) -> Result | ComeBack:
    """Attempt the delivery in a place of this process. If it gets no place, return when it comes back.

    Raises Temporary. The place is free again when this returns or raises.
    """
    admission = await notifier.gate.enter(delivery.id, place.lane, place.group, place.put_backs)
    if isinstance(admission, ComeBack):
        return admission
    instances = notifier.instances
    has_failed: bool | None = None
    try:
        if instances is not None:
            lease = await _lease_instance(notifier, instances, target, place)
            if isinstance(lease, ComeBack):
                return lease
        result = await attempt.claim_and_attempt(notifier, push, delivery, target)
        has_failed = result.has_failed
        return result
    finally:
        notifier.gate.leave(delivery.id, has_failed=has_failed)
        if instances is not None:
            await instances.leave(place.lane)


def _place_for(target: Target, delivery: Delivery, put_backs: int) -> _WantedPlace:
    """Return the place that the delivery needs, with the names by which the gate shares out its places.

    Each tenant has a lane for its fan-outs, so that a large tenant's fan-out does not slow down those of others.
    """
    configured = target.configured
    if configured.is_endpoint:  # its name is destination:tenant:endpoint
        return _WantedPlace(configured.name, configured.name.rpartition(SEPARATOR)[0], put_backs)
    if configured.is_fan_out:
        group = f"{configured.name}{SEPARATOR}{cast('FanOut', target.destination).tenant_of(delivery)}"
        return _WantedPlace(group, group, put_backs)
    if configured.per is not None:
        return _WantedPlace(configured.name, caps.bucket_name(configured, delivery), put_backs)
    return _WantedPlace(configured.name, f"{configured.name} {delivery.event.source}", put_backs)


async def _lease_instance(
    notifier: Notifier, instances: "InstanceLeases", target: Target, place: _WantedPlace
) -> Admitted | ComeBack:
    """Return ADMITTED if this instance may attempt the delivery, or else when it comes back. Raises Temporary.

    No lease is needed for a fan-out, which calls nobody, or for a paused destination, which is not called. An endpoint
    needs none while this process knows nothing of it and its document does not say that it fails: an event for
    thousands of new endpoints would write as many leases.
    """
    configured = target.configured
    if configured.is_fan_out:
        return ADMITTED
    health = target.health
    is_unknown_endpoint = health is not None and not health.is_failing and notifier.gate.health(place.lane) == "new"
    if is_unknown_endpoint:
        return ADMITTED
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None or (state.paused_until or 0.0) > notifier.clock.now():
        return ADMITTED
    flood = await instances.enter_flood(place.lane, place.group, configured.timeout_seconds, place.put_backs)
    if isinstance(flood, ComeBack):
        return flood
    is_troubled = state.paused_until is not None  # the pause is over, and one delivery is tried first
    return await instances.enter(place.lane, configured.timeout_seconds, place.put_backs, is_troubled=is_troubled)


def _no_place_reason(gate: ProcessGate, configured: DeliveryOptions, lane: str, come_back: ComeBack) -> str:
    """Return why the delivery has no place, in words for people. The tenant of an endpoint can read them, too."""
    receiver = "endpoint" if configured.is_endpoint else "destination"
    if come_back.health == "healthy":
        return f"earlier deliveries to this {receiver} use its whole share of the capacity"
    if come_back.health == "troubled" and gate.is_answering(lane):  # it answers, with failures
        return f"attempts at this {receiver} are failing, so only a few run at a time"
    return f"attempts at this {receiver} are still running without an answer"


async def _put_back(
    notifier: Notifier, push: Push, delivery: Delivery, come_back: ComeBack, put_backs: int, reason: str
) -> Result:
    """Publish the message again, with a delay until it comes back, and acknowledge this one.

    The ledger needs no row for it. A nack would slow down the whole subscription, and count as one of the tries after
    which the bus gives up.
    """
    attributes = {**push.attributes, PUT_BACK: str(put_backs + 1)}
    await notifier.bus.publish(ports.DELIVERIES, [ports.BusMessage(push.data, attributes, come_back.seconds)])
    return Acknowledged("deferred", delivery, reason=reason)
