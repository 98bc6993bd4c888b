"""The event as expressions and templates see it: one object, whose names the operator writes."""

from typing import Final

from shared.event import Event
from shared.jsontext import JsonObject

NAMES: Final = ("id", "source", "type", "subject", "actor", "time", "receivedat", "deliveryid", "hops", "data")


def view_of(event: Event) -> JsonObject:
    """`source` is the source's name, without `/sources/`. What the event does not have is null."""
    return {
        "id": event.id,
        "source": event.source_name,
        "type": event.type,
        "subject": event.subject,
        "actor": event.actor,
        "time": event.time,
        "receivedat": event.receivedat,
        "deliveryid": event.deliveryid,
        "hops": event.hops,
        "data": event.data,
    }
