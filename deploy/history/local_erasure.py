"""The erasure of events on this machine: from the journal, and from the free space of its files.

Notes of what `hookchain forget` has erased stay in the state folder, so that a restore of an older backup erases it
again.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from deploy.history import audit, journal_view
from shared import journal, jsontext, ledger_rules
from shared.cloud.local import database
from shared.cloud.local.journal import write_entries

DATABASES: Final = "*.db"
"""The SQLite files of a state folder."""
FORGOTTEN_FILE: Final = "forgotten.jsonl"
"""The file with the ids that `hookchain forget` erased. A restore of an older backup erases them again."""
_OPEN_OUTCOMES: Final = frozenset({"retry_scheduled", "unknown", "held"})
_LAST_OUTCOMES: Final = (
    "SELECT delivery_id, route, destination, outcome, max(seq) FROM attempts WHERE event_id = ? GROUP BY delivery_id"
)
_ERASE: Final = (
    "UPDATE events SET subject = '', actor = '' WHERE id = :id",
    # A second pass of transform keeps the empty document, and what is not NULL.
    "UPDATE bodies SET document = '' WHERE event_seq = (SELECT seq FROM events WHERE id = :id)",
    "UPDATE attempts SET reason = '', answer = '' WHERE event_id = :id",
    "UPDATE dead_letters SET message = x'', reason = '', state = :state WHERE event_id = :id",
)


def erase_events(connection: sqlite3.Connection, event_ids: Sequence[str], now: float) -> None:
    """Erase the events as JournalView.erase does. A pending delivery becomes a failed one, as in the ledger."""
    for event_id in event_ids:
        with database.transaction(connection):
            for statement in _ERASE:
                connection.execute(statement, {"id": event_id, "state": journal_view.DROPPED})
            write_entries(connection, list(_ends(connection, event_id, now)))


def _ends(connection: sqlite3.Connection, event_id: str, now: float) -> Iterator[journal.AttemptEntry]:
    """Yield an entry without an attempt for each delivery that was pending or held."""
    for delivery_id, route, destination, outcome, _ in connection.execute(_LAST_OUTCOMES, (event_id,)).fetchall():
        if outcome in _OPEN_OUTCOMES:
            yield journal.AttemptEntry(
                delivery_id=delivery_id,
                event_id=event_id,
                route=route,
                destination=destination,
                attempt_number=journal.NO_ATTEMPT,
                started_at=now,
                ended_at=now,
                outcome="failed",
                reason=ledger_rules.FORGOTTEN,
            )


def rewrite_files(folder: Path, busy_seconds: float = database.BUSY_SECONDS) -> list[str]:
    """Rewrite each SQLite file, because deleted data stays in its free pages and its log until then.

    Return the files that could not be rewritten, with the reasons. The functions may run meanwhile.
    """
    return [fault for path in sorted(folder.glob(DATABASES)) for fault in _rewrite(path, busy_seconds)]


def _rewrite(path: Path, busy_seconds: float) -> Iterator[str]:
    """Rewrite the file, and yield the reason if that was not possible."""
    try:
        with closing(sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            is_blocked, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        yield f"{path.name}: {'another process uses it' if database.is_busy(error) else error}"
        return
    if is_blocked:
        yield f"{path.name}-wal: another process reads it"


def add_forgotten(folder: Path, entry: jsontext.JsonObject) -> None:
    """Add a note about an erasure: `at` in Unix seconds, and the `events` or the `tenant`. Raises OSError."""
    audit.append_line(folder / FORGOTTEN_FILE, entry)


def read_forgotten(folder: Path) -> list[jsontext.JsonObject]:
    """Return the notes, oldest first; none without the file."""
    try:
        lines = (folder / FORGOTTEN_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError):  # an empty line, or a note that a full disk has cut
            found.append(jsontext.mapping_at(json.loads(line)))
    return found
