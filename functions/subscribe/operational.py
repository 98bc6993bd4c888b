"""Operational events: what the operator's own systems are told of endpoints, by the destination `tell.operator`.

An event is a delivery as any other. One that cannot be published is logged and is missing: the change that it tells of
is done, and is not undone.
"""

import hashlib
from typing import Final, Literal, TypeAlias

from functions.subscribe.service import Service
from shared.delivery import Delivery, delivery_message
from shared.errors import Temporary
from shared.event import Event, event_id, event_json
from shared.jsontext import JsonObject
from shared.logs import log
from shared.ports import DELIVERIES
from shared.subscribers.model import Endpoint
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from shared.times import rfc3339

Operation: TypeAlias = Literal[
    "endpoint.created", "endpoint.updated", "endpoint.deleted", "endpoint.enabled", "endpoint.disabled"
]
ROUTE: Final = "subscribers"


async def tell_operator(service: Service, operation: Operation, endpoint: Endpoint) -> None:
    """Publish the event where the operator wants it. Its id is the same where the same change is told of again."""
    if not service.settings.tell:
        return
    now = rfc3339(service.clock.now())
    data: JsonObject = {
        "tenant": endpoint.tenant,
        "endpoint": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "reason": endpoint.disabled_reason,
    }
    id_ = event_id(SUBSCRIBERS_SOURCE, f"{operation} {endpoint.tenant} {endpoint.id} {endpoint.updated_at!r}")
    event = Event(
        id=id_,
        source=SUBSCRIBERS_SOURCE,
        type=operation,
        receivedat=now,
        payloadhash=hashlib.sha256(id_.encode()).hexdigest(),
        data=data,
        subject=f"{endpoint.tenant}/{endpoint.id}",
        time=now,
    )
    delivery = Delivery(event, ROUTE, service.settings.tell)
    try:
        await service.bus.publish(DELIVERIES, [delivery_message(delivery, event_json(event), now, {})])
    except Temporary as error:
        log(
            "ERROR",
            "the operator was not told",
            function="subscribe",
            type=operation,
            destination=service.settings.tell,
            code=error.code,
            detail=error.detail,
        )
