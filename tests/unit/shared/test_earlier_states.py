"""Deliveries in Firestore whose state an earlier version wrote."""

import pytest

from shared.cloud.gcp.ledger_documents import new_document, row_of
from shared.ledger_rules import new_row
from tests.fakes.notifier import DELIVERY


@pytest.mark.parametrize(
    ("earlier", "state"),
    [("done", "delivered"), ("failed", "dead_lettered"), ("retry_at", "retry_scheduled"), ("disabled", "held")],
)
def test_a_state_of_an_earlier_version_is_read_as_todays(earlier: str, state: str) -> None:
    document = new_document(new_row(DELIVERY, DELIVERY.id, b"{}", 1.0)._replace(state=earlier))
    assert document.fields
    assert row_of(document.fields).state == state
