"""Reading a stored message: its JSON, the event in it, the event's data in a blob, and the size of a digest."""

import json

from shared import claim_check, delivery, errors, jsontext, ports
from shared.event import from_cloudevent, to_cloudevent


def message_json(message: bytes) -> jsontext.Json:
    """Return the message as JSON; as text if it is not JSON, as the message of a dead letter may be."""
    try:
        document: jsontext.Json = json.loads(message)
    except (ValueError, RecursionError):
        return message.decode("utf-8", errors="replace")
    return document


def event_in(message: jsontext.Json) -> jsontext.JsonObject | None:
    """Return the event in a delivery, or the message itself if it is an event; None if it is not an object."""
    if not isinstance(message, dict):
        return None
    data = message.get("data")
    if isinstance(data, dict) and "route" in data and "destination" in data:
        event = data.get("event")
        if isinstance(event, dict):
            return event
    return message


def dataref_of(message: bytes) -> str | None:
    """Return the name of the blob with the data of the message's event; None if the data is in the message."""
    if b'"dataref"' not in message:  # most messages need no parser
        return None
    event = event_in(message_json(message))
    name = event.get("dataref") if event is not None else None
    return name if isinstance(name, str) else None


async def event_with_data(document: jsontext.JsonObject, blobs: ports.Blobs) -> jsontext.JsonObject:
    """Return the event with the data from its blob; without it if the blob is gone. Raises Temporary."""
    try:
        return to_cloudevent(await claim_check.checked_out(from_cloudevent(document), blobs))
    except errors.Permanent:
        return document


def merged_count(message: bytes) -> int:
    """Return the number of deliveries that a digest or a burst replaces; 0 for any other message."""
    if b'"merged"' not in message:
        return 0
    found = delivery_in(message)
    return found.merged if found else 0


def delivery_in(message: bytes) -> delivery.Delivery | None:
    """Return the delivery of a stored message; None if the message is empty or something else."""
    try:
        return delivery.delivery_from(jsontext.from_json(message))
    except (errors.Permanent, ValueError, RecursionError):
        return None
