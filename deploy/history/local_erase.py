"""Erasing from the files of the state folder: the rows of the journal, and what is left in the files themselves."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final

from deploy.history.journal_view import DROPPED
from shared.cloud.local.database import BUSY_SECONDS, is_busy, transaction
from shared.cloud.local.journal import write_entries
from shared.journal import AttemptEntry
from shared.ledger_rules import FORGOTTEN

DATABASES: Final = "*.db"
NO_ATTEMPT: Final = 0
_OPEN: Final = frozenset({"retry_scheduled", "unknown", "held"})
_LAST_OUTCOMES: Final = (
    "SELECT delivery_id, route, destination, outcome, max(seq) FROM attempts WHERE event_id = ? GROUP BY delivery_id"
)
_STATEMENTS: Final = (
    "UPDATE events SET subject = '', actor = '' WHERE id = :id",
    # A second pass of transform keeps the empty document, and what is not NULL.
    "UPDATE bodies SET document = '' WHERE event_seq = (SELECT seq FROM events WHERE id = :id)",
    "UPDATE attempts SET reason = '', answer = '' WHERE event_id = :id",
    "UPDATE dead_letters SET message = x'', reason = '', state = :state WHERE event_id = :id",
)


def erase_events(connection: sqlite3.Connection, event_ids: Sequence[str], now: float) -> None:
    """Do as JournalView.erase in the journal's own file. What was pending has failed, as the ledger has it."""
    for event_id in event_ids:
        with transaction(connection):
            for statement in _STATEMENTS:
                connection.execute(statement, {"id": event_id, "state": DROPPED})
            write_entries(connection, list(_ends(connection, event_id, now)))


def _ends(connection: sqlite3.Connection, event_id: str, now: float) -> Iterator[AttemptEntry]:
    """Yield an entry without an attempt for each delivery that was pending or held."""
    for delivery_id, route, destination, outcome, _ in connection.execute(_LAST_OUTCOMES, (event_id,)).fetchall():
        if outcome in _OPEN:
            names = delivery_id, event_id, route, destination
            yield AttemptEntry(*names, NO_ATTEMPT, now, now, "failed", FORGOTTEN)


def rewrite_files(folder: Path, busy_seconds: float = BUSY_SECONDS) -> list[str]:
    """Rewrite each SQLite file: what is deleted stays in its free pages and its log until then.

    Return what could not be rewritten, and why. The functions may run meanwhile.
    """
    return list(chain.from_iterable(_rewrite(path, busy_seconds) for path in sorted(folder.glob(DATABASES))))


def _rewrite(path: Path, busy_seconds: float) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            is_blocked, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        yield f"{path.name}: {'another process uses it' if is_busy(error) else error}"
        return
    if is_blocked:
        yield f"{path.name}-wal: another process reads it"
