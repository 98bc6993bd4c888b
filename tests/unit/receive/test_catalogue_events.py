"""What the catalogue says of a provider's events, tried with bodies as the provider sends them."""

import json

import pytest

from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.samples import Fresh, load_sample
from shared.event import Event
from shared.jsontext import Json
from tests.receiving import Receiving

NOW = 1_790_000_000.0
JSON = ("content-type", "application/json")


async def received(provider: str, body: Json, *headers: tuple[str, str]) -> tuple[Event, ...]:
    params: Json = {name: "a-name" for name, param in load_catalogue()[provider].params.items() if param.required}
    receiving = Receiving(
        {"provider": provider, "auth": "none", "params": params}, {"a-name": "a-value-of-enough"}, NOW
    )
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


@pytest.mark.parametrize(
    ("provider", "sample", "type_", "has_id"),
    [
        ("auth0", "logs", "s", True),
        ("ebay", "MARKETPLACE_ACCOUNT_DELETION", "MARKETPLACE_ACCOUNT_DELETION", True),
        ("intercom", "conversation.user.created", "conversation.user.created", True),
        ("microsoft_graph", "reauthorizationRequired", "reauthorizationRequired", False),
        ("monday", "create_pulse", "create_pulse", False),
        ("mux", "video.asset.ready", "video.asset.ready", True),
        ("notion", "page.created", "page.created", True),
        ("razorpay", "payment.captured", "payment.captured", True),
        ("strava", "activity-create", "activity.create", False),
        ("telnyx", "message.received", "message.received", True),
    ],
)
async def test_an_event_has_its_type_and_where_it_has_one_its_id(
    provider: str, sample: str, type_: str, has_id: bool
) -> None:
    request = load_sample(provider, sample, Fresh(NOW, "abcdefabcdef", "9876543210")).request
    event = (await received(provider, json.loads(request.body), *request.headers))[0]
    assert (event.type, event.deliveryid is not None) == (type_, has_id)


async def test_an_event_of_twitch_says_what_happened() -> None:
    [event] = await received("twitch", {"subscription": {"type": "stream.online"}})
    assert event.subject == "stream.online"
