"""Requests in the journal: receive keeps no journal, so whoever reads its log lines writes them here."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

from shared import jsontext, logs, times

WHY: Final = ". Why: "
"""The text before the likely cause in the detail of a rejection."""
HEADERS: Final = ". Headers: "
"""The text before the names of the request's headers in the detail of a rejection."""


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """A request as receive logged it. It has an `event_id` if it was accepted, otherwise a `code` with the reason.

    `detail` is the reason of a rejection, or a note about a request that was accepted.

    `at` is Unix seconds; `source` is empty where the path names none of the configured sources.
    """

    at: float
    method: str
    status: int
    source: str
    code: str | None = None
    event_id: str | None = None
    type: str | None = None
    detail: str = ""
    bytes: int | None = None
    duration_ms: float | None = None


def request_from(line: jsontext.JsonObject) -> RequestEntry | None:
    """Return the request that a line of receive's log is about; None for any other line."""
    status = line.get("status")
    method = line.get("method")
    at = line.get("time")
    if line.get("function") != "receive" or not isinstance(status, int) or not isinstance(at, str):
        return None
    try:
        seconds = times.unix_seconds(at)
    except ValueError:
        return None
    size, duration = line.get("bytes"), line.get("duration_ms")
    detail, names = _text(line, "detail") or "", _text(line, "headers")
    return RequestEntry(
        at=seconds,
        method=method if isinstance(method, str) else "",
        status=status,
        source=_text(line, "source") or "",
        code=_text(line, "code"),
        event_id=_text(line, "event_id"),
        type=_text(line, "type"),
        detail=f"{detail}{HEADERS}{names}" if names else detail,
        bytes=size if isinstance(size, int) else None,
        duration_ms=float(duration) if isinstance(duration, int | float) else None,
    )


def _text(line: jsontext.JsonObject, name: str) -> str | None:
    value = line.get(name)
    return value if isinstance(value, str) and value else None


# In the order of RequestEntry's fields.
_REQUEST = """
INSERT INTO requests (at, method, status, source, code, event_id, type, detail, bytes, duration_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_values = attrgetter(*(field.name for field in fields(RequestEntry)))
_RECEIVED = "INSERT OR IGNORE INTO events (id, source, type, received_at) VALUES (?, ?, ?, ?)"


def write_requests(connection: sqlite3.Connection, entries: Sequence[RequestEntry]) -> None:
    """Write the requests in the caller's transaction. An accepted event is listed from now on, before transform."""
    connection.executemany(_REQUEST, map(_values, entries))
    received = [(entry.event_id, entry.source, _known_type(entry), entry.at) for entry in entries if entry.event_id]
    connection.executemany(_RECEIVED, received)


def _known_type(entry: RequestEntry) -> str | None:
    """Return the event type; None if the log does not have it, and transform's entry will."""
    return None if entry.type == logs.OTHER_TYPE else entry.type
