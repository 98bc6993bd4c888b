"""Deliveries as transform publishes them."""

import json

from shared.delivery import Delivery, delivery_message
from shared.event import to_cloudevent
from shared.jsontext import JsonObject, to_json
from shared.times import rfc3339


def to_cloudevent_of(delivery: Delivery, now: float) -> JsonObject:
    """Return the document that the message of the delivery holds."""
    event = to_json(to_cloudevent(delivery.event)).encode()
    document: JsonObject = json.loads(delivery_message(delivery, event, rfc3339(now), {}).data)
    return document
