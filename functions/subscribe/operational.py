"""Operational events of the API: the destination `tell.operator` is told of each change of an endpoint.

An event that cannot be published is logged and is missing: the change that it tells of is done, and is not undone.
"""

from typing import Literal, TypeAlias

from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.route import Call
from shared.errors import Temporary
from shared.logs import log
from shared.ports import DELIVERIES
from shared.subscribers.model import Endpoint
from shared.subscribers.operational_events import operational_event, operational_message

EndpointChange: TypeAlias = Literal["created", "updated", "deleted", "enabled", "disabled"]


async def tell_operator(call: Call, change: EndpointChange, endpoint: Endpoint) -> None:
    """Publish the event where the operator wants it. Its id is the same where the same change is told of again."""
    destination = call.service.settings.tell
    if not destination:
        return
    event = operational_event(change, endpoint, tenant_of(call), endpoint.updated_at, endpoint.disabled_reason)
    try:
        await call.service.bus.publish(DELIVERIES, [operational_message(event, destination)])
    except Temporary as error:
        fault = {"type": event.type, "destination": destination, "code": error.code, "detail": error.detail}
        log("ERROR", "the operator was not told", function="subscribe", **fault)
