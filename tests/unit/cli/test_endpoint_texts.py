"""What the commands print of deliveries to endpoints."""

from pathlib import Path

from deploy.cli.events import MAX_ENDPOINTS, event_text
from deploy.history.local_journal import JournalReader
from deploy.terminal.output import Screen
from shared.cloud.local.journal import FILE_NAME
from shared.ledger import LedgerRow
from shared.subscribers.names import EndpointName
from tests.fakes.kept import NOW, Kept


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
