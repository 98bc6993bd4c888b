"""The messages of an event to many destinations are CloudEvents of its deliveries, in compact JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.delivery import DELIVERY_TYPE, Delivery, delivery_from, delivery_message, delivery_messages
from shared.event import Event, event_json, to_cloudevent
from shared.jsontext import JsonObject
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
