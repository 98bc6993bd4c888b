"""The messages of an event to many destinations are those that each delivery has by itself."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.delivery import Delivery, delivery_from, delivery_message, delivery_messages
from shared.event import Event, event_json
from shared.subscribers.names import EndpointName

NOW = "2026-03-01T12:00:00.000Z"
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [str(EndpointName("customers", "acme", "ep_" + "0" * 20)), "a:b", ":", '"']
)
events = st.builds(Event, names, names, names, names, names, st.dictionaries(names, names, max_size=3))


@given(events, names, st.lists(names, max_size=4), st.dictionaries(names, names, max_size=2))
def test_they_are_the_same_bytes_and_attributes(
    event: Event, route: str, destinations: list[str], attributes: dict[str, str]
) -> None:
    text = event_json(event)
    assert delivery_messages(event, text, route, destinations, NOW, attributes) == [
        delivery_message(Delivery(event, route, each), text, NOW, attributes) for each in destinations
    ]


def test_each_is_the_cloudevent_of_its_delivery() -> None:
    event = Event("e1", "/sources/shop", "order.paid", NOW, "00", {"n": 1})
    for name, message in zip("ab", delivery_messages(event, event_json(event), "r", "ab", NOW, {}), strict=True):
        assert delivery_from(json.loads(message.data)) == Delivery(event, "r", name)
        assert message.attributes["ce-id"] == Delivery(event, "r", name).id
