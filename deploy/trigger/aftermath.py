"""What became of an event that was sent to the `hookchain dev` that runs here."""

import time
from pathlib import Path
from typing import Final

from deploy.commands.local_bus import told_ports
from deploy.commands.local_state import StateFault, opened
from shared.ports import LedgerRow

WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_SETTLED: Final = frozenset({"unmatched", "delivered", "failed", "retrying", "held"})
_WORDS: Final = {
    "done": "delivered",
    "failed": "given up",
    "retry_at": "to be tried again",
    "disabled": "held",
    "claimed": "being attempted",
    "attempted": "being attempted",
}


def became(event_id: str, state: Path) -> list[str]:
    """Lines; none where no `hookchain dev` runs over this state folder, or it has not seen the event."""
    if told_ports(state) is None:
        return []
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        lines, is_settled = _looked_at(event_id, state)
        if is_settled or time.monotonic() > deadline:
            return lines
        time.sleep(_POLL_SECONDS)


def _looked_at(event_id: str, state: Path) -> tuple[list[str], bool]:
    try:
        with opened(state) as local:
            record = local.reader.event(event_id)
            rows = local.deliveries(event_id)
    except StateFault:
        return [], True
    if record is None:
        return [], False
    routes = [f"route {each.route!r}: {each.reason}" for each in record.routes]
    lines = [f"{record.summary.type}: {record.summary.status}", *routes, *(_delivery(row) for row in rows)]
    return lines, record.summary.status in _SETTLED


def _delivery(row: LedgerRow) -> str:
    return f"to {row.destination}: {_WORDS.get(row.state, row.state)}"
