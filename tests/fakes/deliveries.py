"""Deliveries as transform publishes them, and as notify leaves them in the ledger."""

import json

from shared.delivery import Delivery, delivery_message
from shared.event import to_cloudevent
from shared.jsontext import JsonObject, to_json
from shared.ledger import Claimed, Ledger, Settlement
from shared.times import rfc3339


def to_cloudevent_of(delivery: Delivery, now: float) -> JsonObject:
    """Return the document that the message of the delivery holds."""
    document: JsonObject = json.loads(message_of(delivery, now))
    return document


def message_of(delivery: Delivery, now: float) -> bytes:
    event = to_json(to_cloudevent(delivery.event)).encode()
    return delivery_message(delivery, event, rfc3339(now), {}).data


async def settled(ledger: Ledger, delivery: Delivery, settlement: Settlement) -> None:
    """Claim the delivery, and settle it at once."""
    claim = await ledger.claim(delivery, message_of(delivery, settlement.now), settlement.now, 60)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, settlement)
