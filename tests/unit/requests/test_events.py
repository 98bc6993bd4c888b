"""The events that are made to try a source: it reads their type and id wherever it looks for them."""

import asyncio
from pathlib import Path

import pytest

from deploy.config.sections.catalogue import load_catalogue
from deploy.requests.events import make_example_event, make_test_event, read_event_file
from shared.event import Event
from shared.http import Request
from shared.jsontext import JsonObject, to_json
from tests.in_process.posting import Posting

CATALOGUE = load_catalogue()


def received(source: JsonObject, request: Request) -> Event:
    """Return the event that a source without authentication makes of the request."""
    posting = Posting(f"s: {to_json({'auth': 'none', **source})}")
    reply = asyncio.run(posting.send("/s", request.body, *request.headers, query=request.query))
    assert reply.status == 200, reply.body
    [event] = posting.events
    return event


@pytest.mark.parametrize(
    "location",
    [
        "header.X-Partner-Event + data.action",
        "data.action + header.X-Partner-Event",
        "data.a + data.b",
        "data.a.b + query.c + header.X-D",
        "data.a",
    ],
)
@pytest.mark.parametrize("event_type", ["order.created", "order.item.added.twice", "signup"])
def test_joined_locations_of_the_type_get_its_words(location: str, event_type: str) -> None:
    event = make_example_event({"type": location}, event_type, {})
    assert received({"type": location}, event.to_request("m")).type == event_type


@pytest.mark.parametrize(
    ("location", "id"),
    [
        ("header.X-Delivery + data.id", "example-1.example-1"),
        (["data.a if data.b", "data.id + data.number"], "example-1.example-1"),
        ("data.number + data.type", "example-1.signup"),  # the text at data.type stays the type
        (["header.svix-id", "header.webhook-id"], "example-1"),
        (["data.id", "header.webhook-id"], "example-1"),
    ],
)
def test_every_joined_location_of_the_id_has_a_text(location: str | list[str], id: str) -> None:
    source: JsonObject = {"type": "data.type", "id": [*location] if isinstance(location, list) else location}
    event = received(source, make_example_event(source, "signup", {"a": 1}).to_request("m"))
    assert (event.deliveryid, event.type) == (id, "signup")


@pytest.mark.parametrize("provider", sorted(CATALOGUE))
def test_an_event_has_type_and_id_where_the_sources_of_a_provider_read_them(provider: str) -> None:
    facts = CATALOGUE[provider].event
    type_locations, id_locations = list(facts.type or ()), list(facts.id or ())
    source: JsonObject = {"type": [*type_locations], "id": [*id_locations]}
    source = {name: locations for name, locations in source.items() if locations}
    event = received(source, make_test_event(source, "order.created", "smoke-1", {}).to_request("smoke-1"))
    is_type_written = any(place.startswith(("header.", "query.", "data.")) for place in type_locations)
    assert event.type == "order.created" or not is_type_written
    assert not id_locations or "smoke-1" in (event.deliveryid or "")


def test_a_file_keeps_the_type_in_its_body_and_gets_the_id_at_the_other_locations(tmp_path: Path) -> None:
    source: JsonObject = {"type": "header.X-Topic + data.action", "id": "header.X-Id + data.id + data.action"}
    (tmp_path / "sample.json").write_text('{"action": "paid", "id": 7}')
    file = read_event_file(tmp_path / "sample.json", source, "smoke-1", "order.created")
    event = received(source, file.to_request("smoke-1"))
    assert (event.deliveryid, event.type) == ("smoke-1.smoke-1.paid", "order.paid")
