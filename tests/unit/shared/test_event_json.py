"""The JSON of an event, of which the data may be the sender's own text."""

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.event import Event, attribute_text, event_json, from_cloudevent, from_stored, to_cloudevent
from shared.formats import json_body
from shared.formats.media_type import media_type
from shared.jsontext import Json, JsonObject
from shared.limits import DEFAULT
from tests.unit.shared.json_values import json_values, texts

EVENT = Event("0" * 32, "/sources/shop", "order", "2026-03-01T12:00:00.000Z", "f" * 64, subject='"quoted" ü', hops=1)


def received(body: bytes, content_type: str = "application/json") -> tuple[Event, bytes | None]:
    """Return the event of a body, and the body where its text can stand in the event's JSON."""
    media = media_type(content_type)
    data = json_body.parse(body, media, DEFAULT)
    return replace(EVENT, data=data), json_body.quotable(body, media)


some_text = st.none() | texts
events = st.builds(
    replace,
    st.just(EVENT),
    data=json_values,
    hops=st.integers(0, 9),
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
    stored = event_json(event, text, is_stored=True)
    assert from_stored(stored) == event
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
def test_an_invisible_character_of_an_attribute_stays_so_that_no_other_actor_has_the_same_name(
    written: str, attribute: str
) -> None:
    assert attribute_text(written) == attribute
    assert attribute.isprintable()
