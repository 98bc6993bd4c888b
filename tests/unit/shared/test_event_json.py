"""The JSON of an event, of which the data may be the sender's own text; messages of deliveries, and of dead letters."""

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, strategies as st

from shared.claim_check import read_stored, stored_json
from shared.dead_letter_message import dead_letter_from, dead_letter_message
from shared.delivery import DELIVERY_TYPE, Delivery, delivery_from, delivery_message, delivery_messages
from shared.errors import Permanent
from shared.event import Event, attribute_text, event_json, from_cloudevent, to_cloudevent
from shared.formats import json_body
from shared.formats.parse import media_type
from shared.journal import DeadLetter
from shared.json_outline import has_long_number, may_hold_string, outline
from shared.jsontext import Json, JsonObject, canonical, texts_json, to_json
from shared.limits import DEFAULT
from shared.ports import BusMessage
from shared.subscribers.names import EndpointName
from tests.unit.shared.json_values import json_values, texts, values_of

EVENT = Event("0" * 32, "/sources/shop", "order", "2026-03-01T12:00:00.000Z", "f" * 64, subject='"quoted" ü', hops=1)


def received(body: bytes, content_type: str = "application/json") -> tuple[Event, bytes | None]:
    """Return the event of a body, and the body where its text can stand in the event's JSON."""
    media = media_type(content_type)
    data = json_body.parse(body, media, DEFAULT)
    return replace(EVENT, data=data), json_body.quotable_json(body, media)


some_text = st.none() | texts
events = st.builds(
    replace,
    st.just(EVENT),
    data=json_values,
    hops=st.integers(0, 9),
    item=st.integers(0, 5_000),
    **dict.fromkeys(("action", "subject", "actor", "time", "deliveryid", "rawbody"), some_text),
)


@given(events)
def test_an_event_reads_as_it_was_written(event: Event) -> None:
    assert from_cloudevent(json.loads(event_json(event))) == event


@given(json_values, st.sampled_from([None, 2]), texts, st.booleans())
def test_a_stored_event_reads_as_it_was_written_and_holds_a_body_as_received_once(
    value: Json, indent: int | None, subject: str, is_changed: bool
) -> None:
    event, text = received(json.dumps(value, indent=indent).encode())
    assume(text is not None)
    assert text is not None
    event = replace(event, subject=subject, rawtype="application/json", rawbody=text.decode() + " " * is_changed)
    stored = stored_json(event, text)
    assert read_stored(stored) == event
    assert json.loads(stored)["data"] == event.data
    assert ("rawbody" in json.loads(stored)) is is_changed


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'\xef\xbb\xbf{"a": 1}', "application/json"),
        ('{"a": "ü"}'.encode("latin-1"), "application/json; charset=iso-8859-1"),
    ],
)
def test_a_text_that_no_reader_of_utf_8_takes_is_written_anew(body: bytes, content_type: str) -> None:
    event, text = received(body, content_type)
    assert text is None
    assert json.loads(event_json(event, text).decode())["data"] == event.data


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"id": ""}, "has no 'id'"),
        ({"subject": ["a"]}, "'subject' is text; found a list"),
    ],
)
def test_what_is_no_event_of_ours_is_rejected(change: JsonObject, rule: str) -> None:
    with pytest.raises(Permanent, match=rule):
        from_cloudevent({**to_cloudevent(EVENT), **change})


@pytest.mark.parametrize(
    ("written", "attribute"),
    [
        ("anna", "anna"),
        ("anna\nvoigt", "anna voigt"),
        ("anna\u200b", "anna\ufffd"),
        ("anna\udc80", "anna\ufffd"),
        ("a" * 256, "a" * 255),
    ],
)
def test_an_invisible_character_of_an_attribute_stays_to_tell_actors_apart(written: str, attribute: str) -> None:
    assert attribute_text(written) == attribute
    assert attribute.isprintable()


# Ids are hashes of JSON, so the faster way writes the same bytes

wild_texts = texts | st.text(st.sampled_from('\\"/\x00\x1f\b\x7f\x9f\u2028\ud800\udfff\U0001f600a'))
integers = st.integers() | st.integers(2**63 - 1, 2**64 + 1)


@given(values_of(st.none() | st.booleans() | integers | wild_texts))
def test_texts_json_writes_the_bytes_of_to_json(value: Json) -> None:
    try:
        expected = to_json(value).encode()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            texts_json(value)
    else:
        assert texts_json(value) == expected


@given(st.lists(st.none() | integers | wild_texts.filter(str.isascii)))
def test_texts_json_of_a_list_is_canonical(value: list[Json]) -> None:
    assert texts_json(value) == canonical(value)


@pytest.mark.parametrize("marks", [0, 998, 1_998, 40_000])
def test_a_text_of_many_strings_is_its_own_outline(marks: int) -> None:
    text = b'["%b",%b"%b"]' % (b"a" * 40_000, b'"",' * (marks // 2), b"a" * 40_000)
    assert outline(text) == (b'["",%b""]' % (b'"",' * (marks // 2)) if marks < 1_996 else text)


@pytest.mark.parametrize("strings", [400, 40_000])
@pytest.mark.parametrize(("digits", "is_long"), [("1" * 18, False), ("1" * 19, True)])
def test_a_long_number_is_found_in_a_text_of_few_or_many_strings(strings: int, digits: str, is_long: bool) -> None:
    text = b"[%b%b]" % (b'"abc",' * strings, digits.encode())
    assert has_long_number(outline(text)) is is_long


def longest_string(value: Json) -> int:
    """Return the bytes of the longest string as it is written."""
    if isinstance(value, dict):
        return max([0, *map(longest_string, [*value, *value.values()])])
    if isinstance(value, list):
        return max([0, *map(longest_string, value)])
    return len(json.dumps(value)) - 2 if isinstance(value, str) else 0


@given(values_of(st.none() | integers | wild_texts), st.integers(1, 30))
def test_a_text_with_a_long_string_may_hold_one(value: Json, length: int) -> None:
    if longest_string(value) > length:
        assert may_hold_string(json.dumps(value).encode(), length)


NOW = "2026-03-01T12:00:00.000Z"
message_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = message_texts | st.sampled_from([str(EndpointName("customers", "acme", "ep_" + "0" * 20)), "a:b", ":", '"'])
message_events = st.builds(
    Event,
    message_texts,
    message_texts,
    message_texts,
    message_texts,
    message_texts,
    st.dictionaries(message_texts, message_texts, max_size=3),
)
deliveries = st.builds(Delivery, message_events, names, names, merged=st.integers(0, 9), after=st.just("") | names)


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


@given(message_events, names, st.lists(names, max_size=4), st.dictionaries(message_texts, message_texts, max_size=2))
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
