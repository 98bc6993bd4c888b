"""The number of deliveries that one stands for travels with it."""

import json

import pytest

from shared.delivery import Delivery, delivery_from, delivery_message
from shared.errors import Permanent
from shared.event import event_json
from tests.fakes.notifier import DELIVERY, EVENT


def test_it_travels_and_is_no_part_of_the_id() -> None:
    digest = Delivery(EVENT, "a", "b", merged=12)
    message = delivery_message(digest, event_json(EVENT), "2026-09-21T14:13:20.000Z", {})
    assert delivery_from(json.loads(message.data)) == digest
    assert digest.id == Delivery(EVENT, "a", "b").id


def test_an_ordinary_delivery_has_none() -> None:
    message = delivery_message(DELIVERY, event_json(EVENT), "2026-09-21T14:13:20.000Z", {})
    assert b"merged" not in message.data
    assert delivery_from(json.loads(message.data)).merged == 0


@pytest.mark.parametrize("merged", ["12", -1, True, 1.5])
def test_anything_else_is_malformed(merged: object) -> None:
    document = json.loads(delivery_message(DELIVERY, event_json(EVENT), "", {}).data)
    document["data"]["merged"] = merged
    with pytest.raises(Permanent):
        delivery_from(document)
