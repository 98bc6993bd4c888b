"""What the commands print of deliveries to endpoints."""

import json
from pathlib import Path

from deploy.cli.events import MAX_ENDPOINTS, event_text
from deploy.explain.deliveries import Situation, preview_delivery
from deploy.history.local_journal import JournalReader
from deploy.terminal.log_view import LogView
from deploy.terminal.output import Screen
from shared.cloud.local.journal import FILE_NAME
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.ledger import LedgerRow
from shared.subscribers.names import EndpointName
from tests.fakes.kept import NOW, Kept

NOTIFY: JsonObject = {
    "destinations": {
        "customers": {
            "kind": "subscribers",
            "settings": {"tenant": "data.account", "type": "{{ data.kind }}", "payload": "standard"},
            "retry_seconds": [5],
            "timeout_seconds": 15.0,
            "on_unknown": "resend",
        }
    }
}


def preview(**data: Json) -> str:
    event = Event("e1", "/sources/shop", "order", "2026-01-01T00:00:00Z", "0" * 64, {**data})
    return preview_delivery(Delivery(event, "all", "customers"), NOTIFY, {}, Situation(NOW)).check.text


def row(number: int, state: str) -> LedgerRow:
    name = str(EndpointName("customers", "acme", f"ep_{number:020d}"))
    return LedgerRow(f"key{number}", "e1", "all", name, state, 1, 0, 1, None, "", "", NOW, NOW, b"")


def shown(tmp_path: Path, rows: list[LedgerRow]) -> str:
    kept = Kept(tmp_path)
    kept.event("e1")
    with JournalReader(tmp_path / FILE_NAME) as reader:
        record = reader.event("e1")
        assert record
        return "\n".join(event_text(record, None, rows, Screen()))


def test_an_events_deliveries_to_many_endpoints_are_counted_and_those_that_fail_come_first(tmp_path: Path) -> None:
    states = ["delivered"] * 40 + ["dead_lettered"] * 2
    text = shown(tmp_path, [row(number, state) for number, state in enumerate(states)])
    assert "Deliveries to endpoints\n  42 deliveries: 40 delivered, 2 dead_lettered" in text
    assert "to customers:acme:ep_00000000000000000041 by route 'all': dead_lettered" in text
    assert text.count("to customers:acme:ep_") == MAX_ENDPOINTS
    assert "and 22 more: --json lists them" in text


def test_a_log_line_names_the_endpoint_beside_its_destination() -> None:
    fields = {
        "severity": "INFO",
        "message": "delivered",
        "duration_ms": 3,
        "endpoint": "acme:ep_1",
        "destination": "customers",
    }
    line = LogView().line("notify", json.dumps(fields), "12:00")
    assert line
    assert "destination=customers  endpoint=acme:ep_1  duration_ms=3" in line
