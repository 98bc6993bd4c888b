"""Deliveries as Firestore has them, among them those whose state an earlier version wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cloud.gcp.ledger import new_document, row_of
from shared.ledger_rules import new_row
from tests.fakes.notifier import DELIVERY


@pytest.mark.parametrize(
    ("earlier", "state"),
    [("done", "delivered"), ("failed", "dead_lettered"), ("retry_at", "retry_scheduled"), ("disabled", "held")],
)
def test_a_state_of_an_earlier_version_is_read_as_todays(earlier: str, state: str) -> None:
    document = new_document(new_row(DELIVERY, DELIVERY.id, 1.0)._replace(state=earlier))
    assert document.fields
    assert row_of(document.fields).state == state


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-9e15, max_value=9e15), st.text(), st.integers(0, 2**53)
)
def test_a_row_is_read_as_it_was_written(at: float, text: str, fence: int) -> None:
    row = new_row(DELIVERY, DELIVERY.id, at)._replace(reason=text, fence=fence, retry_at=at, replays=(text,))
    document = new_document(row)
    assert document.fields
    assert row_of(document.fields) == row
