"""Values, ids and rows as Firestore stores them."""

import json
import math

import pytest
from hypothesis import given, strategies as st

from shared.cloud.gcp.firestore_values import Moment, Value, decoded, document_id, encoded
from shared.cloud.gcp.ledger_documents import new_document, row_of
from shared.cloud.journal_entries import first_seq, seq_of
from shared.jsontext import texts_json
from shared.ledger_rules import new_row
from tests.fakes.notifier import DELIVERY

WRITTEN = (
    st.none()
    | st.text()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary()
)


@given(WRITTEN)
def test_a_value_comes_back_as_it_was_written(value: Value) -> None:
    back = decoded(json.loads(texts_json(encoded(value))))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_lacks_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="neither infinity nor NaN"):
        encoded(value)


def test_a_moment_is_a_timestamp_to_the_millisecond() -> None:
    assert encoded(Moment(1_790_000_000.25)) == {"timestampValue": "2026-09-21T14:13:20.250Z"}
    assert decoded({"timestampValue": "2026-09-21T14:13:20.250Z"}) == Moment(1_790_000_000.25)


@given(st.text())
def test_any_text_makes_an_id_that_firestore_takes(text: str) -> None:
    made = document_id(text)
    assert 0 < len(made.encode()) <= 1_500
    assert "/" not in made
    assert made not in (".", "..")
    assert not made.startswith("__")
    assert document_id(text) == made


@given(st.text(), st.text())
def test_ids_of_different_texts_are_different(one: str, other: str) -> None:
    assert (document_id(one) == document_id(other)) == (one == other)


@given(st.floats(0, 2e9), st.text(), st.text())
def test_what_came_later_is_ordered_later_and_javascript_can_hold_it(at: float, one: str, other: str) -> None:
    assert seq_of(at, one) < seq_of(at + 0.002, other) < 2**53
    assert first_seq(at) <= seq_of(at, one) < first_seq(at + 0.002)


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-9e15, max_value=9e15), st.text(), st.integers(0, 2**53)
)
def test_a_row_is_read_as_it_was_written(at: float, text: str, fence: int) -> None:
    row = new_row(DELIVERY, DELIVERY.id, at)._replace(reason=text, fence=fence, retry_at=at, replays=(text,))
    document = new_document(row)
    assert document.fields
    assert row_of(document.fields) == row
