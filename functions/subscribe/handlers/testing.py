"""Test events: deliveries as any others, to one endpoint."""

import hashlib
from typing import Final

from functions.subscribe.catalogue import find_event_type
from functions.subscribe.delivery_rows import address_text
from functions.subscribe.handlers.endpoints import endpoint_of
from functions.subscribe.models.endpoints import TestInput, TestSent
from functions.subscribe.problems import ApiProblem, invalid
from functions.subscribe.resend import ATTEMPT_NOW, verify_proven
from functions.subscribe.route import Call
from shared.claim_check import MAX_INLINE_BYTES
from shared.delivery import Delivery, delivery_message
from shared.event import Event, event_json
from shared.jsontext import Json, canonical
from shared.ports import DELIVERIES
from shared.store_ports import MAX_RECORD_BYTES
from shared.subscribers.directory import message_id
from shared.subscribers.model import Endpoint, EventType, Message
from shared.subscribers.names import SUBSCRIBERS_SOURCE, EndpointName
from shared.subscribers.schema_example import example_of
from shared.times import rfc3339

ROUTE: Final = "test"
"""Stands for the route of a test event, which none made."""
_NOTHING_KNOWN: Final = "This is a test event."


async def send_test(call: Call, given: TestInput) -> TestSent:
    """Send a test event to an endpoint."""
    service, now, endpoint = call.service, call.now, await endpoint_of(call)
    _verify_testable(call, endpoint)
    destination = next(iter(service.settings.destinations), None)
    if destination is None:
        raise ApiProblem("endpoint_inactive", "no destination of the configuration sends to subscribers")
    data = _sample_of(await find_event_type(service, given.type))
    event = Event(
        id=call.new_id("test"),
        source=SUBSCRIBERS_SOURCE,
        type=given.type,
        receivedat=rfc3339(now),
        payloadhash=hashlib.sha256(canonical(data)).hexdigest(),
        data=data,
        time=rfc3339(now),
    )
    content = event_json(event)
    message = Message(
        id=message_id(now, event.id, ROUTE, destination),
        event_id=event.id,
        type=given.type,
        route=ROUTE,
        destination=destination,
        received_at=now,
        event=content.decode(),
        is_test=True,
        kept_at=now,
    )
    if len(content) > MAX_INLINE_BYTES or len(message.text().encode()) > MAX_RECORD_BYTES:
        raise invalid("/type", "has an example that is too large to be sent")
    await service.directory.keep_message(call.tenant, message, now + service.settings.retention.messages_seconds)
    name = EndpointName(destination, call.tenant, endpoint.id)
    delivery = Delivery(event, ROUTE, str(name))
    await service.bus.publish(DELIVERIES, [delivery_message(delivery, content, rfc3339(now), ATTEMPT_NOW)])
    id_ = address_text(name, event.origin, delivery.id)
    return TestSent(message_id=message.id, delivery_id=id_, endpoint_enabled=endpoint.is_enabled)


def _verify_testable(call: Call, endpoint: Endpoint) -> None:
    """A disabled endpoint can be tested: it shows that a repair works. Raises ApiProblem."""
    verify_proven(endpoint, call.service.settings)
    if endpoint.disabled_by == "operator" and not call.is_operator:
        raise ApiProblem("not_allowed", "the endpoint was disabled by the operator, who alone can test it")


def _sample_of(event_type: EventType | None) -> Json:
    """Return the type's first example; without one, an example of its schema; without that, a text that says so."""
    if event_type is not None and event_type.examples:
        return event_type.examples[0]
    if event_type is not None and event_type.schema_:
        return example_of(event_type.schema_)
    return {"message": _NOTHING_KNOWN}
