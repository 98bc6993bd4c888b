import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dead_letter_message import dead_letter_from, dead_letter_message
from shared.errors import Permanent
from shared.journal import DeadLetter
from shared.jsontext import Json

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
