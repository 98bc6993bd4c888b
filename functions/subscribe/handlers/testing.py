"""Test events: deliveries as any others, to one endpoint."""

import hashlib
from typing import Final

from functions.subscribe.catalogue import find_event_type
from functions.subscribe.delivery_rows import address_text
from functions.subscribe.event_samples import sample_of
from functions.subscribe.handlers.endpoints import endpoint_of
from functions.subscribe.models.endpoints import TestInput, TestSent
from functions.subscribe.problems import ApiProblem
from functions.subscribe.route import Call
from functions.subscribe.sending import verify_active
from shared.claim_check import checked_in
from shared.delivery import Delivery, delivery_message
from shared.event import Event
from shared.jsontext import canonical
from shared.ports import DELIVERIES
from shared.subscribers.directory import message_id
from shared.subscribers.model import Message
from shared.subscribers.names import SUBSCRIBERS_SOURCE, EndpointName
from shared.times import rfc3339

ROUTE: Final = "test"
"""Stands for the route of a test event, which none made."""


async def send_test(call: Call, given: TestInput) -> TestSent:
    """Send a test event to an endpoint."""
    service, now, endpoint = call.service, call.now, await endpoint_of(call)
    verify_active(endpoint, service.settings)
    destination = next(iter(service.settings.destinations), None)
    if destination is None:
        raise ApiProblem("endpoint_inactive", "no destination of the configuration sends to subscribers")
    data = sample_of(await find_event_type(service, given.type))
    event = Event(
        id=call.new_id("test"),
        source=SUBSCRIBERS_SOURCE,
        type=given.type,
        receivedat=rfc3339(now),
        payloadhash=hashlib.sha256(canonical(data)).hexdigest(),
        data=data,
        time=rfc3339(now),
    )
    event, content = await checked_in(event, service.blobs, f"events/{event.id}.json")
    message = Message(
        id=message_id(now, event.id, ROUTE),
        event_id=event.id,
        type=given.type,
        route=ROUTE,
        destination=destination,
        received_at=now,
        event=content.decode(),
        is_test=True,
    )
    await service.directory.keep_message(call.tenant, message, now + service.settings.retention.events_seconds)
    name = EndpointName(destination, call.tenant, endpoint.id)
    delivery = Delivery(event, ROUTE, str(name))
    await service.bus.publish(DELIVERIES, [delivery_message(delivery, content, rfc3339(now), {})])
    return TestSent(message_id=message.id, delivery_id=address_text(name, event.origin, delivery.id))
