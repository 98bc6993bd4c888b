"""The result of an event that was sent to the `hookchain dev` of this machine, as its journal has it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.client.hookchain.outcome import Outcome
from deploy.history.journal_view import EventQuery
from deploy.history.local import open_local_state, running_ports
from deploy.history.local_requests import HEADERS
from deploy.history.state import State, StateFault
from deploy.requests.send_options import THIS_MACHINE
from deploy.terminal.output import count_of
from shared.ledger import LedgerRow
from shared.outcomes import EventStatus
from shared.times import rfc3339

WAIT_SECONDS: Final = 5.0
MAX_EVENTS: Final = 10
DUPLICATE: Final = " (duplicate: its id had already arrived; with the same body, it is delivered once)"
CLOCK_STEP_SECONDS: Final = 0.002
"""An event's time is stored in milliseconds."""
_POLL_SECONDS: Final = 0.1
_SETTLED: Final[frozenset[EventStatus]] = frozenset(
    {"no_route", "filtered", "duplicate", "delivered", "merged", "dead_lettered", "waiting", "retry_scheduled", "held"}
)
_WHY: Final = ". Why: "


@dataclass(frozen=True, slots=True)
class SentEvent:
    """`at` is Unix seconds. `event_id` is None if the reply named none, as some providers require."""

    source: str
    at: float
    event_id: str | None = None


def was_known(event_id: str | None, url: str, sent_at: float, state: Path) -> bool:
    """Tell whether the event had already arrived at the `hookchain dev` that `url` leads to.

    receive keeps no state, so its reply cannot tell; only the journal can. Of any other receiver nothing is known.
    """
    ports, target = running_ports(state), urlsplit(url)
    if event_id is None or ports is None or (target.hostname, target.port) not in _own_receivers(ports.receive):
        return False
    try:
        with open_local_state(state) as local:
            record = local.reader.event(event_id)
    except (StateFault, sqlite3.Error):
        return False
    return record is not None and record.summary.received_at < sent_at - CLOCK_STEP_SECONDS


def wrong_port_note(url: str, outcome: Outcome, state: Path) -> str:
    """Return which program answered in the place of receive; empty if receive did, or on another machine."""
    ports, target = running_ports(state), urlsplit(url)
    if target.hostname not in THIS_MACHINE or outcome.status is None or outcome.ok:
        return ""
    receive = f": receive is at http://localhost:{ports.receive}" if ports else ""
    own = {port: name for name, port in ports.named().items()} if ports else {}
    if own.get(target.port or 0, "receive") != "receive":
        return f"Port {target.port} is {own[target.port or 0]}'s, which takes no requests of senders{receive}"
    if outcome.code == "http" and target.port not in own:  # every answer of receive has a code
        program = "" if ports else f", and no `make dev` runs with {state}"
        return f"Another program answered on port {target.port or 80}{program}{receive}"
    return ""


def _own_receivers(port: int) -> set[tuple[str, int]]:
    return {(host, port) for host in ("localhost", "127.0.0.1")}


def result_lines(sent: SentEvent, state: Path) -> list[str]:
    """Return lines about each event; none if no `hookchain dev` runs with this state folder."""
    return _wait_for(state, lambda local: _events(sent, local))


def why_rejected(sent: SentEvent, state: Path) -> list[str]:
    """Return receive's diagnosis, or the finding of its check if it made none."""
    if running_ports(state) is None:
        found = f"no `make dev` runs with {state}, so another program answered"
        return [f"why: {found}. Set HOOKCHAIN_STATE and PORT_BASE as for the `make dev` that you mean"]
    return _wait_for(state, lambda local: _rejection(sent, local))


def _wait_for(state: Path, look: Callable[[State], tuple[list[str], bool]]) -> list[str]:
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


def _events(sent: SentEvent, local: State) -> tuple[list[str], bool]:
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
    yield from (f"  route {each.route!r}: {each.outcome}: {each.reason}" for each in record.routes)
    if record.other_routes:
        others = count_of(record.other_routes, "other route")
        yield f"  {others} did not match: `hookchain events show {event_id[:8]}` prints why"
    yield from (f"  to {row.destination}: {_state_text(row)}" for row in local.deliveries(event_id))


def _state_text(row: LedgerRow) -> str:
    if row.group and row.retry_at is not None:
        return f"waits until {rfc3339(row.retry_at)[:19]}Z: {row.reason}"
    reason = f": {row.reason}" if row.reason and row.state != "delivered" else ""
    return f"{row.state}{reason}"


def why_of(detail: str) -> str:
    """Return the diagnosis in a rejection's detail, else the finding of its check."""
    finding, _, why = detail.partition(HEADERS)[0].partition(_WHY)
    return why or finding


def _rejection(sent: SentEvent, local: State) -> tuple[list[str], bool]:
    for request in local.reader.rejected(MAX_EVENTS):
        if request.source == sent.source and request.at >= sent.at:
            return [f"why: {why_of(request.detail)}"], True
    return [], False
