"""The messages of deliveries, CloudEvents in compact JSON, and those of dead letters."""

import json

import pytest
from hypothesis import given, strategies as st

from shared.dead_letter_message import dead_letter_from, dead_letter_message
from shared.delivery import DELIVERY_TYPE, Delivery, delivery_from, delivery_message, delivery_messages
from shared.errors import Permanent
from shared.event import Event, event_json, to_cloudevent
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject
from shared.ports import BusMessage
from shared.subscribers.names import EndpointName

NOW = "2026-03-01T12:00:00.000Z"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = texts | st.sampled_from([str(EndpointName("customers", "acme", "ep_" + "0" * 20)), "a:b", ":", '"'])
events = st.builds(Event, texts, texts, texts, texts, texts, st.dictionaries(texts, texts, max_size=3))
deliveries = st.builds(Delivery, events, names, names, merged=st.integers(0, 9), after=st.just("") | names)


def written(delivery: Delivery, attributes: dict[str, str]) -> BusMessage:
    """Return the message as it is documented."""
    data: JsonObject = {"route": delivery.route, "destination": delivery.destination}
    if delivery.merged:
        data["merged"] = delivery.merged
    if delivery.after:
        data["after"] = delivery.after
    source = f"/routes/{delivery.route}"
    document: JsonObject = {"specversion": "1.0", "id": delivery.id, "time": NOW, "source": source}
    document |= {"type": DELIVERY_TYPE, "datacontenttype": "application/json"}
    document["data"] = {**data, "event": to_cloudevent(delivery.event)}
    own = {"ce-id": delivery.id, "ce-type": DELIVERY_TYPE, "ce-source": source}
    return BusMessage(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), {**own, **attributes})


@given(events, names, st.lists(names, max_size=4), st.dictionaries(texts, texts, max_size=2))
def test_each_message_is_that_of_its_delivery(
    event: Event, route: str, destinations: list[str], attributes: dict[str, str]
) -> None:
    messages = delivery_messages(event.id, event_json(event), route, destinations, NOW, attributes)
    assert messages == [written(Delivery(event, route, each), attributes) for each in destinations]


@given(deliveries)
def test_a_delivery_is_read_from_its_message(delivery: Delivery) -> None:
    message = delivery_message(delivery, event_json(delivery.event), NOW, {})
    assert message == written(delivery, {})
    assert delivery_from(json.loads(message.data)) == delivery


# Dead letters

LETTER = DeadLetter(
    "d1", "request_rejected", "it said no", 1_790_000_000.25, b'{"a":1}', "deliveries", "e1", "tell", "crm"
)
hostile_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "data", "id", "time", "code"]), inner),
)


@given(message=st.binary(max_size=50))
def test_a_dead_letter_is_read_back_as_it_was_written(message: bytes) -> None:
    letter = DeadLetter(
        "d1", "request_rejected", "it said no", 1_790_000_000.25, message, "deliveries", "e1", "tell", "crm"
    )
    assert dead_letter_from(json.loads(dead_letter_message(letter).data)) == letter


def test_its_attributes_say_what_it_is_and_fit_what_pubsub_takes() -> None:
    letter = DeadLetter("d1", "request_rejected", "\N{GRINNING FACE}" * 5_000, 1_790_000_000.0, b"", "deliveries")
    attributes = dead_letter_message(letter).attributes
    assert attributes["id"] == attributes["ce-id"] == "d1"
    assert attributes["code"] == "request_rejected"
    assert all(len(value.encode()) <= 1024 for value in attributes.values())


@given(hostile_json)
def test_what_is_not_a_dead_letter_is_permanent_and_nothing_else(document: Json) -> None:
    with pytest.raises(Permanent):
        dead_letter_from(document)


@pytest.mark.parametrize("field", ["code", "reason", "topic", "message", "event_id"])
def test_a_dead_letter_without_a_field_is_permanent(field: str) -> None:
    document = json.loads(dead_letter_message(LETTER).data)
    del document["data"][field]
    with pytest.raises(Permanent, match=field):
        dead_letter_from(document)
