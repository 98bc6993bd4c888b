"""What the catalogue says of a provider's events, tried with bodies as the provider sends them."""

import json

from shared.event import Event
from shared.jsontext import Json
from tests.receiving import Receiving

NOW = 1_790_000_000.0
JSON = ("content-type", "application/json")


async def received(provider: str, body: Json, *headers: tuple[str, str]) -> tuple[Event, ...]:
    receiving = Receiving({"provider": provider, "auth": "none"}, {}, NOW)
    return await receiving.events([JSON, *headers], json.dumps(body).encode())


async def test_events_of_hubspot_with_one_event_id_are_two_and_a_retry_of_one_is_not() -> None:
    # Its documentation: "This value is not guaranteed to be unique."
    one: dict[str, Json] = {"eventId": 1, "subscriptionId": 7, "occurredAt": 1_789_999_999_000, "attemptNumber": 0}
    [first] = await received("hubspot", [{**one, "objectId": 123}])
    [again] = await received("hubspot", [{**one, "objectId": 123, "attemptNumber": 1}])
    [other] = await received("hubspot", [{**one, "objectId": 124}])
    [linked] = await received("hubspot", [{**one, "fromObjectId": 123, "toObjectId": 124}])
    assert first.id == again.id
    assert len({first.id, other.id, linked.id}) == 3
    assert linked.deliveryid
