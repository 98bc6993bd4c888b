import hashlib
import json

from shared.delivery import Delivery
from shared.event import Event
from shared.subscribers.directory import time_mark
from shared.subscribers.names import EndpointName, endpoint_name

EVENT = Event("e1", "/sources/app", "order.paid", "2026-01-01T00:00:00Z", "00", {"n": 1})
NAME = EndpointName("customers", "acme", "ep_" + "0" * 20)


def test_an_endpoints_name_is_read_back() -> None:
    assert endpoint_name(str(NAME)) == NAME


def test_a_delivery_to_an_endpoint_has_an_id_of_event_route_destination_tenant_and_endpoint() -> None:
    parts = ["e1", "to customers", *NAME]
    expected = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
    assert Delivery(EVENT, "to customers", str(NAME)).id == expected


def test_the_ids_of_messages_sort_the_newest_first_from_1970_on() -> None:
    marks = [time_mark(at) for at in (9_999_999_999.0, 1_790_000_000.0, 1_789_999_999.999, 0.001, 0.0)]
    assert marks == sorted(marks)
    assert {len(mark) for mark in marks} == {14}
