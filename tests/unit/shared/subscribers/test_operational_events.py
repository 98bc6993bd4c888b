"""Operational events: what the operator is told of endpoints, by the API and by notify."""

import json

from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from shared.subscribers.operational_events import operational_event

ENDPOINT = Endpoint(id="ep_1", tenant="acme", url="https://acme.example.com", disabled_by="receiver", disabled_at=5.0)
ACME = Tenant(id="acme", name="Acme", email="ada@acme.example")


def test_an_operational_event_is_one_of_cloudevents_with_nothing_secret() -> None:
    event = operational_event("disabled", ENDPOINT, ACME, 5.0, "gone")
    assert (event.type, event.source, event.subject) == ("endpoint.disabled", SUBSCRIBERS_SOURCE, "acme:ep_1")
    assert event.time == event.receivedat == "1970-01-01T00:00:05.000Z"
    assert json.loads(json.dumps(event.data)) == {
        "tenant": "acme",
        "name": "Acme",
        "email": "ada@acme.example",
        "endpoint": "ep_1",
        "url": "https://acme.example.com",
        "description": None,
        "reason": "gone",
        "at": "1970-01-01T00:00:05.000Z",
        "disabled_by": "receiver",
        "failing_since": None,
    }


def test_a_change_that_is_told_twice_has_one_id_and_another_change_another() -> None:
    told = [
        operational_event(change, ENDPOINT, ACME, at, "").id for change in ("failing", "disabled") for at in (5.0, 6.0)
    ]
    assert len(set(told)) == 4
    assert operational_event("failing", ENDPOINT, Tenant(id="acme"), 5.0, "other").id == told[0]
