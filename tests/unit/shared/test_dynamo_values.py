"""Values as DynamoDB's JSON, keys, and items of rows and events; and its tables, as data."""

from hypothesis import given, strategies as st

from shared.cloud.aws.dynamo_values import MAX_KEY_BYTES, decoded, encoded, item_key
from shared.cloud.aws.journal import event_fields
from shared.cloud.journal_entries import event_document, event_seq
from shared.event import Event
from shared.journal import EventEntry, RouteDecision
from shared.jsontext import Json, to_json
from shared.retention import Retention

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-(10**38) + 1, 10**38 - 1)
TIMES = st.just(0.0) | st.floats(1.0, 4e9)
FLOATS = st.floats(-1e120, 1e120, allow_nan=False).filter(lambda number: abs(number) > 1e-120 or number == 0)


@given(TEXT | INTEGERS | st.binary() | st.lists(TEXT).map(tuple))
def test_a_value_is_read_as_it_was_written(value: str | int | bytes | tuple[str, ...]) -> None:
    assert decoded(encoded(value)) == value


@given(FLOATS)
def test_a_number_is_read_as_it_was_written_though_a_whole_one_as_an_integer(number: float) -> None:
    assert decoded(encoded(number)) == number
    if number.is_integer() and abs(number) < 1e15:
        assert decoded({"N": str(int(number))}) == number


@given(st.none() | st.booleans() | st.text() | st.dictionaries(st.text(), st.none() | st.text()))
def test_what_we_do_not_write_is_none(value: Json) -> None:
    if not isinstance(value, dict) or not {"S", "N", "B", "L"} & value.keys():
        assert decoded(value) is None


@given(TEXT)
def test_a_key_is_one_that_dynamodb_takes(text: str) -> None:
    assert 0 < len(item_key(text).encode()) <= MAX_KEY_BYTES


@given(TIMES, TEXT, TEXT)
def test_an_events_entry_is_written_as_the_standard_library_writes_it(at: float, subject: str, reason: str) -> None:
    event = Event("e1", "/sources/s", "order.created", "2026-03-01T12:00:00.123Z", "hash", subject=subject)
    entry = EventEntry(event, (RouteDecision("r", True, reason, ("d",)),), at)
    whole = {**event_document(entry, event_seq(entry)), "has_document": True}
    assert event_fields(entry, b"{}", Retention())["entry"] == to_json(whole)
