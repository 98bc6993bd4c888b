"""The Journal port on SQLite: what happened to each event, in `journal.db`, for the page and the commands to read.

An event has a row in `events`, and one in `bodies` with its document and the decisions of its routes. The status of an
event follows from its routes, attempts and dead letters: journal_status.sql computes it. It is stored, so that a search
by status reads an index. `write_entries` writes the status of the usual cases itself, and has the others computed.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Final

from shared import errors, jsontext, logs, times
from shared.cloud.earlier_words import CODES, OUTCOMES, STATUSES, current_reason
from shared.cloud.local.database import Transactions, open_database, read_statements
from shared.event import to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry, route_documents, updated_entry

# receive's log line may have made the row before; a second pass (redelivery, replay) changes only the decisions.
_UPSERT_EVENT: Final = """
INSERT INTO events (id, source, type, subject, actor, received_at, routed_at, expected, broken, status)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    type = coalesce(type, excluded.type), subject = coalesce(subject, excluded.subject),
    actor = coalesce(actor, excluded.actor), routed_at = excluded.routed_at, expected = excluded.expected,
    broken = excluded.broken, status = excluded.status
"""
# Its number, and whether its status depends on more than its routes: notify may have been faster. A RETURNING clause
# takes six times as long.
_SELECT_SEQ_AND_HISTORY: Final = """
SELECT seq, EXISTS (SELECT 1 FROM attempts WHERE event_id = events.id)
    OR EXISTS (SELECT 1 FROM dead_letters WHERE event_id = events.id)
FROM events WHERE id = ?
"""
_UPSERT_BODY: Final = """
INSERT INTO bodies (event_seq, document, routes) VALUES (?, ?, ?)
ON CONFLICT (event_seq) DO UPDATE SET routes = excluded.routes, passes = passes + 1
"""
_SELECT_ROUTES: Final = (
    "SELECT event_seq, expected, routes FROM events JOIN bodies ON event_seq = events.seq WHERE id = ?"
)
_UPDATE_EXPECTED: Final = "UPDATE events SET expected = ?, broken = ? WHERE seq = ?"
_UPDATE_ROUTES: Final = "UPDATE bodies SET routes = ? WHERE event_seq = ?"
# In the order of AttemptEntry's fields.
_INSERT_ATTEMPT: Final = """
INSERT INTO attempts (delivery_id, event_id, route, destination, attempt_number, started_at, ended_at, outcome, reason,
    answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE_TO_DELIVERED: Final = """
UPDATE events SET status = 'delivered' WHERE id = ? AND status = 'delivering' AND expected = 1
"""
_SELECT_DELIVERED: Final = "SELECT 1 FROM events WHERE id = ? AND status = 'delivered' AND expected = 1"
_SELECT_EVENT: Final = "SELECT 1 FROM events WHERE id = ?"
# In the order of DeadLetter's fields.
_UPSERT_DEAD_LETTER: Final = """
INSERT INTO dead_letters (id, code, reason, at, message, topic, event_id, route, destination)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET code = excluded.code, reason = excluded.reason, at = excluded.at,
    message = excluded.message, state = 'kept'
"""

_UPDATE_STATUS: Final = Path(__file__).with_name("journal_status.sql").read_text(encoding="utf-8")
# How an upgrade replaces earlier words: for each statement, pairs of an earlier word and today's.
_EARLIER_WORDS: Final = {
    "UPDATE events SET status = ? WHERE status = ?": STATUSES,
    "UPDATE attempts SET outcome = ? WHERE outcome = ?": OUTCOMES,
    "UPDATE dead_letters SET code = ? WHERE code = ?": CODES,
}
_SCHEMA: Final = Path(__file__).with_name("journal.sql")
FILE_NAME: Final = "journal.db"
NOTE_SECONDS: Final = 0.05
"""The time in which attempts share a transaction: each then takes 10 µs of CPU instead of 30. A page shows no
difference."""


class LocalJournal:
    """The journal of one process. Other processes may have the file open too.

    _noted    the attempts that wait for the next transaction
    _writing  the task that writes them, or wrote the last ones
    """

    def __init__(self, path: Path) -> None:
        self._file = Transactions(path, "journal_unavailable", open_journal)
        self._noted: list[AttemptEntry] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Write the entries in one transaction, and return once it is committed. Raises Temporary."""
        if not entries:
            return
        # A dead letter is stored nowhere else, so it must survive a power cut too. For all other entries, the ledger or
        # the bus has what matters.
        is_synced = any(isinstance(entry, DeadLetter) for entry in entries)
        await self._file.write(lambda connection: write_entries(connection, entries), is_synced=is_synced)

    async def has_event(self, event_id: str) -> bool:
        """Return whether the event is recorded. Raises Temporary."""
        row = self._file.read(lambda connection: connection.execute(_SELECT_EVENT, (event_id,)).fetchone())
        return row is not None

    def note(self, attempt: AttemptEntry) -> None:
        """Record the attempt within NOTE_SECONDS. If that fails, it is only logged: the ledger has the attempt too."""
        self._noted.append(attempt)
        if len(self._noted) == 1:
            self._writing = asyncio.create_task(self._write_noted())

    async def _write_noted(self) -> None:
        await asyncio.sleep(NOTE_SECONDS)
        attempts, self._noted = self._noted, []
        try:
            await self.record(attempts)
        except errors.Temporary as error:
            logs.log("WARNING", "not journaled", function="notify", count=len(attempts), detail=error.detail)

    async def close(self) -> None:
        """Write the noted attempts, and close the file. No call may be under way."""
        if self._writing is not None:
            await self._writing
        self._file.close()


def write_entries(connection: sqlite3.Connection, entries: Sequence[JournalEntry]) -> None:
    """Write the entries within the caller's transaction."""
    attempts = [entry for entry in entries if isinstance(entry, AttemptEntry)]
    to_compute: dict[str, None] = {}
    """The events whose statuses are computed at the end, each once, in the order of their entries."""
    if attempts:
        connection.executemany(_INSERT_ATTEMPT, map(tuple, attempts))  # a fifth less than to bind named tuples
        to_compute = _write_delivered_statuses(connection, attempts)
    for entry in entries:
        if isinstance(entry, EventEntry):
            is_updated = entry.is_partial and _update_event(connection, entry)
            if is_updated:
                to_compute[entry.event.id] = None
                continue
            connection.execute(_UPSERT_EVENT, _event_values(entry))
            [(seq, has_history)] = connection.execute(_SELECT_SEQ_AND_HISTORY, (entry.event.id,)).fetchall()
            connection.execute(_UPSERT_BODY, (seq, *_body_values(entry)))
            if has_history:
                to_compute[entry.event.id] = None
        elif isinstance(entry, DeadLetter):
            connection.execute(_UPSERT_DEAD_LETTER, astuple(entry))
            to_compute[entry.event_id] = None
    if to_compute:
        update_status(connection, to_compute)


def _update_event(connection: sqlite3.Connection, entry: EventEntry) -> bool:
    """Write the decisions of the routes that ran again. Return False if the event is not stored."""
    stored = connection.execute(_SELECT_ROUTES, (entry.event.id,)).fetchone()
    if stored is None:
        return False
    event_seq, expected, stored_routes = stored
    updated = updated_entry(entry, jsontext.from_json(stored_routes.encode()), expected)
    _, updated_routes = _body_values(updated)
    connection.execute(_UPDATE_EXPECTED, (updated.expected, updated.broken, event_seq))
    connection.execute(_UPDATE_ROUTES, (updated_routes, event_seq))
    return True


def _write_delivered_statuses(connection: sqlite3.Connection, attempts: Sequence[AttemptEntry]) -> dict[str, None]:
    """Write the statuses of the usual case, at half the cost. Return the events whose statuses must be computed.

    In the usual case, an event is `delivering`, expects one delivery, and has one of these attempts, which delivered
    it. It has no other attempt then, and no dead letter that counts. If all events are of this case, one statement
    writes them. Otherwise each is looked up: one that is not `delivered` with one expected delivery must be computed.
    """
    attempt_counts = Counter(attempt.event_id for attempt in attempts)
    delivered_alone: list[str] = []
    to_compute: dict[str, None] = {}
    for attempt in attempts:
        if attempt.outcome == "delivered" and attempt_counts[attempt.event_id] == 1:
            delivered_alone.append(attempt.event_id)
        else:
            to_compute[attempt.event_id] = None
    updated_count = connection.executemany(_UPDATE_TO_DELIVERED, [(each,) for each in delivered_alone]).rowcount
    if updated_count < len(delivered_alone):
        for event_id in delivered_alone:
            if connection.execute(_SELECT_DELIVERED, (event_id,)).fetchone() is None:
                to_compute[event_id] = None
    return to_compute


def _event_values(entry: EventEntry) -> tuple[str | float | int | None, ...]:
    """Return the values of _UPSERT_EVENT, in its order."""
    event = entry.event
    return (
        event.id,
        event.source_name,
        event.type,
        event.subject,
        event.actor,
        times.unix_seconds(event.receivedat),
        entry.at,
        entry.expected,
        entry.broken,
        _first_status(entry),
    )


def _first_status(entry: EventEntry) -> str:
    """Return the status of an event before any attempt."""
    if entry.broken:
        return "dead_lettered"
    if entry.expected:
        return "delivering"
    if any(route.matched for route in entry.routes):
        return "filtered"
    # Of a duplicate, transform records one decision without a route, which says of which event.
    return "no_route" if all(route.route for route in entry.routes) else "duplicate"


def _body_values(entry: EventEntry) -> tuple[str, str]:
    """Return the event as a CloudEvent in JSON, and the decisions of its routes as JSON."""
    document = entry.document.decode() or jsontext.to_json(to_cloudevent(entry.event))
    return document, jsontext.texts_json(route_documents(entry.routes, entry.others, entry.spans)).decode()


def open_journal(path: Path) -> sqlite3.Connection:
    """Open the journal, create its file where it is missing, and upgrade one of an earlier version.

    Raises sqlite3.Error and OSError.
    """
    return open_database(path, _SCHEMA.read_text(encoding="utf-8"), upgrade=_upgrade)


def _upgrade(connection: sqlite3.Connection, _: int) -> None:
    """Upgrade a file of version 0, which is the only earlier one. A new, empty file is of this version too.

    Make `bodies` name its events by number, and replace earlier words. It keeps all rows and their `seq`.
    """
    select = "SELECT 1 FROM pragma_table_info('bodies') WHERE name = 'event_id'"
    if connection.execute(select).fetchone() is not None:
        connection.execute("ALTER TABLE bodies RENAME TO earlier_bodies")
        for statement in read_statements(_SCHEMA):  # of the tables, only `bodies` is missing now
            connection.execute(statement)
        connection.execute(
            "INSERT INTO bodies SELECT body.seq, events.seq, document, routes, passes"
            " FROM earlier_bodies AS body JOIN events ON events.id = event_id ORDER BY body.seq"
        )
        connection.execute(
            "UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'earlier_bodies')"
            " WHERE name = 'bodies'"
        )
        connection.execute("DROP TABLE earlier_bodies")
    for update, pairs in _EARLIER_WORDS.items():
        connection.executemany(update, [(today, earlier) for earlier, today in pairs.items()])
    connection.create_function("current_reason", 2, current_reason)
    connection.execute(
        "UPDATE attempts SET reason = current_reason('', reason) WHERE reason LIKE '%hookchain release%'"
    )


def update_status(connection: sqlite3.Connection, event_ids: Iterable[str]) -> None:
    """Compute the events' statuses within the caller's transaction, so that a search by status reads an index."""
    connection.executemany(_UPDATE_STATUS, [(event_id,) for event_id in event_ids])
