"""The Journal port on SQLite: what happened to each event, in `journal.db`, for the page and the commands to read."""

import asyncio
import sqlite3
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
_EVENT: Final = """
INSERT INTO events (id, source, type, subject, actor, received_at, routed_at, expected, broken, status)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    type = coalesce(type, excluded.type), subject = coalesce(subject, excluded.subject),
    actor = coalesce(actor, excluded.actor), routed_at = excluded.routed_at, expected = excluded.expected,
    broken = excluded.broken, status = excluded.status
"""
# Its number, and whether its status depends on more than its routes: notify may have been faster. A RETURNING clause
# takes six times as long.
_WRITTEN: Final = """
SELECT seq, EXISTS (SELECT 1 FROM attempts WHERE event_id = events.id)
    OR EXISTS (SELECT 1 FROM dead_letters WHERE event_id = events.id)
FROM events WHERE id = ?
"""
_BODY: Final = """
INSERT INTO bodies (event_seq, document, routes) VALUES (?, ?, ?)
ON CONFLICT (event_seq) DO UPDATE SET routes = excluded.routes, passes = passes + 1
"""
_STORED: Final = "SELECT event_seq, expected, routes FROM events JOIN bodies ON event_seq = events.seq WHERE id = ?"
_UPDATED_EVENT: Final = "UPDATE events SET expected = ?, broken = ? WHERE seq = ?"
_UPDATED_BODY: Final = "UPDATE bodies SET routes = ? WHERE event_seq = ?"
# In the order of AttemptEntry's fields.
_ATTEMPT: Final = """
INSERT INTO attempts (delivery_id, event_id, route, destination, attempt_number, started_at, ended_at, outcome, reason,
    answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ONLY_DELIVERED: Final = """
UPDATE events SET status = 'delivered' WHERE id = ? AND status = 'delivering' AND expected = 1
"""
_IS_DELIVERED: Final = "SELECT 1 FROM events WHERE id = ? AND status = 'delivered' AND expected = 1"
_HAS_EVENT: Final = "SELECT 1 FROM events WHERE id = ?"
# In the order of DeadLetter's fields.
_DEAD_LETTER: Final = """
INSERT INTO dead_letters (id, code, reason, at, message, topic, event_id, route, destination)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET code = excluded.code, reason = excluded.reason, at = excluded.at,
    message = excluded.message, state = 'kept'
"""


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
        # A dead letter is stored nowhere else. For all other entries, the ledger or the bus has what matters.
        is_synced = any(isinstance(entry, DeadLetter) for entry in entries)
        await self._file.write(lambda connection: write_entries(connection, entries), is_synced=is_synced)

    async def has_event(self, event_id: str) -> bool:
        """Return whether the event is recorded. Raises Temporary."""
        row = self._file.read(lambda connection: connection.execute(_HAS_EVENT, (event_id,)).fetchone())
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
    changed: dict[str, None] = {}
    if attempts:
        connection.executemany(_ATTEMPT, map(tuple, attempts))  # a fifth less than to bind named tuples
        changed = _status_changed(connection, attempts)
    for entry in entries:
        if isinstance(entry, EventEntry) and entry.is_partial and _update_event(connection, entry):
            changed[entry.event.id] = None
        elif isinstance(entry, EventEntry):
            connection.execute(_EVENT, _event_values(entry))
            [(seq, has_history)] = connection.execute(_WRITTEN, (entry.event.id,)).fetchall()
            connection.execute(_BODY, (seq, *_body_values(entry)))
            if has_history:
                changed[entry.event.id] = None
        elif isinstance(entry, DeadLetter):
            connection.execute(_DEAD_LETTER, astuple(entry))
            changed[entry.event_id] = None
    if changed:
        update_status(connection, changed)


def _update_event(connection: sqlite3.Connection, entry: EventEntry) -> bool:
    """Write the decisions of the routes that ran again. Return False if the event is not stored."""
    stored = connection.execute(_STORED, (entry.event.id,)).fetchone()
    if stored is None:
        return False
    event_seq, expected, stored_routes = stored
    updated = updated_entry(entry, jsontext.from_json(stored_routes.encode()), expected)
    _, updated_routes = _body_values(updated)
    connection.execute(_UPDATED_EVENT, (updated.expected, updated.broken, event_seq))
    connection.execute(_UPDATED_BODY, (updated_routes, event_seq))
    return True


def _status_changed(connection: sqlite3.Connection, attempts: Sequence[AttemptEntry]) -> dict[str, None]:
    """Return the events whose statuses must be computed. The statuses of the usual case are written here, at half the
    cost.

    An event that is `delivering` and expects one delivery has no other attempt, and no dead letter that speaks for it.
    If all events are of this case, as they usually are, one statement writes them. Otherwise each is looked at again.
    """
    outcomes: dict[str, str] = {}
    for attempt in attempts:
        outcomes[attempt.event_id] = "several" if attempt.event_id in outcomes else attempt.outcome
    delivered = [(event_id,) for event_id, outcome in outcomes.items() if outcome == "delivered"]
    changed: dict[str, None] = {event_id: None for event_id, outcome in outcomes.items() if outcome != "delivered"}
    if connection.executemany(_ONLY_DELIVERED, delivered).rowcount < len(delivered):
        for (event_id,) in delivered:
            if connection.execute(_IS_DELIVERED, (event_id,)).fetchone() is None:
                changed[event_id] = None
    return changed


def _event_values(entry: EventEntry) -> tuple[str | float | int | None, ...]:
    """Return the values of _EVENT, in its order. The status is that before any attempt."""
    event, expected, broken = entry.event, entry.expected, entry.broken
    return (
        event.id,
        event.source_name,
        event.type,
        event.subject,
        event.actor,
        times.unix_seconds(event.receivedat),
        entry.at,
        expected,
        broken,
        "dead_lettered" if broken else "delivering" if expected else _idle_status(entry),
    )


def _idle_status(entry: EventEntry) -> str:
    """Return the status of an event that leads to no delivery."""
    if any(route.matched for route in entry.routes):
        return "filtered"
    return "no_route" if all(route.route for route in entry.routes) else "duplicate"


def _body_values(entry: EventEntry) -> tuple[str, str]:
    """Return the event as a CloudEvent in JSON, and the decisions of its routes as JSON."""
    document = entry.document.decode() or jsontext.to_json(to_cloudevent(entry.event))
    return document, jsontext.texts_json(route_documents(entry.routes, entry.others, entry.spans)).decode()


_SCHEMA: Final = Path(__file__).with_name("journal.sql")


def open_journal(path: Path) -> sqlite3.Connection:
    """Open the journal, create its file where it is missing, and upgrade one of an earlier version.

    Raises sqlite3.Error and OSError.
    """
    return open_database(path, _SCHEMA.read_text(encoding="utf-8"), upgrade=_upgrade)


def _upgrade(connection: sqlite3.Connection, _: int) -> None:
    """Make `bodies` name its events by number, and replace earlier words. It keeps all rows and their `seq`."""
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


_EARLIER_WORDS: Final = {
    "UPDATE events SET status = ? WHERE status = ?": STATUSES,
    "UPDATE attempts SET outcome = ? WHERE outcome = ?": OUTCOMES,
    "UPDATE dead_letters SET code = ? WHERE code = ?": CODES,
}


_UPDATE: Final = Path(__file__).with_name("journal_status.sql").read_text(encoding="utf-8")


def update_status(connection: sqlite3.Connection, event_ids: Iterable[str]) -> None:
    """Compute the events' statuses within the caller's transaction, so that a search by status reads an index."""
    connection.executemany(_UPDATE, [(event_id,) for event_id in event_ids])
