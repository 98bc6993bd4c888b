"""A delivery's place in this process, and what happens to one that has none.

The bus gives a process a limited number of messages at once, and shared/outgoing/gate.py lets no destination and no
sender take all of these places. On AWS, an instance also needs a lease to try a destination that may hang
(shared/outgoing/instance_leases.py). A delivery without a place is put back on the bus, up to MAX_PUT_BACKS times.
After that, or if its destination is in trouble, it waits in the ledger, where an operator sees it.
"""

from typing import TYPE_CHECKING, Final, cast

from functions.notify.notifier import Acknowledged, Notifier, Result
from functions.notify.registry import Configured, Target
from functions.notify.waiting.caps import bucket_name
from shared.delivery import Delivery
from shared.outgoing.gate import ProcessGate, Turn
from shared.ports import DELIVERIES, BusMessage
from shared.push import Push
from shared.subscribers.names import SEPARATOR

if TYPE_CHECKING:
    from functions.notify.subscribers.fan_out import FanOut
    from shared.outgoing.instance_leases import InstanceLeases

PUT_BACK: Final = "put-back"
"""The attribute that counts how often a message was put back."""
MAX_PUT_BACKS: Final = 3


def lane_and_group(target: Target, delivery: Delivery) -> tuple[str, str]:
    """Return whom an attempt calls, and for whom it is: a tenant, a key of `per`, or a source, each at one destination.

    The lane of a fan-out is its tenant's, so that a large tenant's fan-out slows down no other's.
    """
    configured, destination = target
    if configured.health is not None:  # an endpoint, whose name is destination:tenant:endpoint
        return configured.name, configured.name.rpartition(SEPARATOR)[0]
    if configured.endpoints is not None:
        group = f"{configured.name}{SEPARATOR}{cast('FanOut', destination).tenant_of(delivery)}"
        return group, group
    if configured.per is not None:
        return configured.name, bucket_name(configured, delivery)
    return configured.name, f"{configured.name} {delivery.event.source}"


async def lease_instance(
    notifier: Notifier, instances: "InstanceLeases", configured: Configured, lane: str, group: str, put_backs: int
) -> Turn | None:
    """Return None if this instance may try the destination, or when the delivery comes back. Raises Temporary.

    A fan-out calls nobody, and a paused destination is not tried. An endpoint needs a lease only where it is known to
    fail: an event for thousands of new endpoints would write as many leases.
    """
    if configured.endpoints is not None:
        return None
    health = configured.health
    if health is not None and not health.is_failing and notifier.gate.health(lane) == "new":
        return None
    state = await notifier.states.state(configured.name)
    if state.disabled_reason is not None or (state.paused_until or 0.0) > notifier.clock.now():
        return None
    if turn := await instances.enter_flood(lane, group, configured.timeout_seconds, put_backs):
        return turn
    is_troubled = state.paused_until is not None  # the pause is over, and one delivery is tried first
    return await instances.enter(lane, configured.timeout_seconds, put_backs, is_troubled=is_troubled)


def no_place_reason(gate: ProcessGate, configured: Configured, lane: str, turn: Turn) -> str:
    """Return why the delivery has no place, for people. A tenant can read the reason of an endpoint."""
    receiver = "destination" if configured.health is None else "endpoint"
    if turn.health == "healthy":
        return f"earlier deliveries to this {receiver} use its whole share of the capacity"
    if turn.health == "troubled" and gate.is_answering(lane):  # it answers, with failures
        return f"attempts at this {receiver} are failing, so only a few run at a time"
    return f"attempts at this {receiver} are still running without an answer"


async def put_back(
    notifier: Notifier, push: Push, delivery: Delivery, turn: Turn, put_backs: int, reason: str
) -> Result:
    """Publish the message again, to come at its turn, and acknowledge this one: the ledger has no row of it yet.

    It is no nack, because a nack slows down the whole subscription and counts towards the bus's tries.
    """
    attributes = {**push.attributes, PUT_BACK: str(put_backs + 1)}
    await notifier.bus.publish(DELIVERIES, [BusMessage(push.data, attributes, turn.seconds)])
    return Acknowledged("deferred", delivery, reason=reason)
