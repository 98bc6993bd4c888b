"""What became of what was sent to the `hookchain dev` that runs here."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.history.local import open_local_state, running_ports
from deploy.history.state import State, StateFault
from shared.cloud.journal_rows import EventQuery
from shared.ledger import LedgerRow

WAIT_SECONDS: Final = 5.0
MAX_EVENTS: Final = 10
_POLL_SECONDS: Final = 0.1
_SETTLED: Final = frozenset({"unmatched", "stopped", "duplicate", "delivered", "failed", "retrying", "held"})
_WHY: Final = ". Why: "
_WORDS: Final = {
    "done": "delivered",
    "failed": "given up",
    "retry_at": "to be tried again",
    "disabled": "held",
    "claimed": "being attempted",
    "attempted": "being attempted",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """`at` is when, in Unix seconds. The answer may not have told the event's id, as some providers want none."""

    source: str
    at: float
    event_id: str | None = None


def became(sent: Sent, state: Path) -> list[str]:
    """Lines of what its events came to; none where no `hookchain dev` runs over this state folder."""
    return _waited_for(state, lambda local: _events(sent, local))


def why_refused(sent: Sent, state: Path) -> list[str]:
    """Receive's own diagnosis, or what its check found where it made none."""
    return _waited_for(state, lambda local: _refusal(sent, local))


def _waited_for(state: Path, look: Callable[[State], tuple[list[str], bool]]) -> list[str]:
    deadline = time.monotonic() + WAIT_SECONDS
    while running_ports(state) is not None:
        try:
            with open_local_state(state) as local:
                lines, is_settled = look(local)
        except StateFault:
            return []
        if is_settled or time.monotonic() > deadline:
            return lines
        time.sleep(_POLL_SECONDS)
    return []


def _events(sent: Sent, local: State) -> tuple[list[str], bool]:
    if sent.event_id:
        ids = [sent.event_id]
    else:
        page = local.reader.events(EventQuery(source=sent.source, since=sent.at, limit=MAX_EVENTS))
        ids = [event.id for event in reversed(page.events)]
    lines: list[str] = []
    is_settled = bool(ids)
    for event_id in ids:
        record = local.reader.event(event_id)
        lines += _event(event_id, local) if record else []
        is_settled &= record is not None and record.summary.status in _SETTLED
    return lines, is_settled


def _event(event_id: str, local: State) -> Iterator[str]:
    record = local.reader.event(event_id)
    if record is None:
        return
    yield f"{record.summary.type} {event_id[:8]}: {record.summary.status}"
    yield from (f"  route {each.route!r}: {each.word}: {each.reason}" for each in record.routes)
    yield from (f"  to {row.destination}: {_words(row)}" for row in local.deliveries(event_id))


def _words(row: LedgerRow) -> str:
    reason = f": {row.reason}" if row.reason and row.state != "done" else ""
    return f"{_WORDS.get(row.state, row.state)}{reason}"


def why_of(detail: str) -> str:
    """Of a refusal's detail in receive's log: its diagnosis, else what its check found."""
    told, _, why = detail.partition(_WHY)
    return why or told


def _refusal(sent: Sent, local: State) -> tuple[list[str], bool]:
    for request in local.reader.refused(MAX_EVENTS):
        if request.source == sent.source and request.at >= sent.at:
            return [f"why: {why_of(request.detail)}"], True
    return [], False
