"""Rows of the ledger as notify leaves them behind."""

from shared.delivery import Delivery
from shared.event import from_cloudevent
from shared.journal import AttemptEntry
from shared.jsontext import from_json
from shared.ledger import Claimed, Ledger, Settlement
from shared.outcomes import DeliveryState
from shared.subscribers.model import Message
from shared.subscribers.names import EndpointName


async def attempted(
    ledger: Ledger,
    message: Message,
    tenant: str,
    endpoint: str,
    now: float,
    state: DeliveryState,
    reason: str = "it answered 500",
) -> str:
    """Record one attempt at the message, and return the delivery's key. `claimed`: it is still under way."""
    event = from_cloudevent(from_json(message.event.encode()))
    delivery = Delivery(event, message.route, str(EndpointName(message.destination, tenant, endpoint)))
    claim = await ledger.claim(delivery, b"{}", now, 60.0)
    assert isinstance(claim, Claimed)
    if state != "claimed":
        attempt = AttemptEntry(
            delivery.id, event.origin, message.route, delivery.destination, 1, now, now + 0.25, state, reason, "oh no"
        )
        retry_at = now + 60 if state == "retry_scheduled" else None
        assert await ledger.settle(claim, Settlement(state, now, reason, attempt, retry_at))
    return delivery.id
