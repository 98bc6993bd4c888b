"""Operational events: what the operator, and the owner of an endpoint, is told about it.

The API makes them of changes, and notify of an endpoint's health. All have the same fields.
"""

import hashlib
from typing import Final

from shared import delivery, jsontext, ports, times
from shared.event import Event, event_json
from shared.subscribers import model, names

ROUTE: Final = "subscribers"
"""Stands for the route of these events' deliveries, which none made."""


def operational_event(change: str, endpoint: model.Endpoint, tenant: model.Tenant, at: float, reason: str) -> Event:
    """Return the event of the type `endpoint.<change>`. Its id follows from the endpoint, the change and the time."""
    name = hashlib.sha256(jsontext.texts_json([endpoint.tenant, endpoint.id, change, repr(at)])).hexdigest()
    time = times.rfc3339(at)
    data: jsontext.JsonObject = {
        "tenant": endpoint.tenant,
        "name": tenant.name or None,
        "email": tenant.email or None,
        "endpoint": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description or None,
        "reason": reason or None,
        "at": time,
        "disabled_by": endpoint.disabled_by,
        "failing_since": times.time_text(endpoint.failing_since),
    }
    return Event(
        id=name[:32],
        source=names.SUBSCRIBERS_SOURCE,
        type=f"endpoint.{change}",
        receivedat=time,
        payloadhash=name,
        data=data,
        subject=endpoint.full_name,
        time=time,
    )


def operational_message(event: Event, destination: str) -> ports.BusMessage:
    """Return the message that has the event delivered to a configured destination."""
    return delivery.delivery_message(
        delivery.Delivery(event, ROUTE, destination), event_json(event), event.receivedat, {}
    )
