"""The Journal port on SQLite: what happened to each event, in `journal.db`, for the page and the commands to read."""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Final

from shared.cloud.gather import Gatherer
from shared.cloud.local.database import reason_of, sync_commits, transaction
from shared.cloud.local.journal_schema import open_journal
from shared.cloud.local.journal_status import update_status
from shared.cloud.route_documents import route_documents
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry
from shared.jsontext import to_json
from shared.times import unix_seconds

MAX_BATCH: Final = 200
MAX_WAITING: Final = 20_000

# receive's log line may have made the row before; a second pass (redelivery, replay) changes what was decided only.
_EVENT: Final = """
INSERT INTO events (id, source, type, subject, actor, received_at, routed_at, expected, broken)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    type = coalesce(type, excluded.type), subject = coalesce(subject, excluded.subject),
    actor = coalesce(actor, excluded.actor), routed_at = excluded.routed_at, expected = excluded.expected,
    broken = excluded.broken
"""
_BODY: Final = """
INSERT INTO bodies (event_id, document, routes) VALUES (?, ?, ?)
ON CONFLICT (event_id) DO UPDATE SET routes = excluded.routes, passes = passes + 1
"""
_ATTEMPT: Final = """
INSERT INTO attempts (delivery_id, event_id, route, destination, attempt_number, started_at, ended_at, outcome, reason,
    answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DEAD_LETTER: Final = """
INSERT INTO dead_letters (id, code, reason, at, message, topic, event_id, route, destination)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET code = excluded.code, reason = excluded.reason, at = excluded.at,
    message = excluded.message, state = 'kept'
"""


class LocalJournal:
    """Entries that arrive while a transaction runs go into the next; one thread writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gatherer = Gatherer[Sequence[JournalEntry], None](
            self._write, max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        if entries:
            await self._gatherer.submit(entries)

    async def close(self) -> None:
        if self._thread:
            await asyncio.to_thread(self._thread.shutdown)
            self._thread = None
        if self._connection:
            self._connection.close()
            self._connection = None

    async def _write(self, batch: Sequence[Sequence[JournalEntry]]) -> Sequence[None]:
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="journal")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write_now, batch)
        return [None] * len(batch)

    def _write_now(self, batch: Sequence[Sequence[JournalEntry]]) -> None:
        try:
            self._connection = self._connection or open_journal(self._path)
            entries = list(chain.from_iterable(batch))
            # Nobody else keeps a dead letter; of all other entries the ledger or the bus has what counts.
            sync_commits(self._connection, any(isinstance(entry, DeadLetter) for entry in entries))
            with transaction(self._connection):
                write_entries(self._connection, entries)
        except (sqlite3.Error, OSError) as error:
            raise Temporary("journal", f"{self._path.name} cannot be written: {reason_of(error)}") from error


def write_entries(connection: sqlite3.Connection, entries: Sequence[JournalEntry]) -> None:
    """Within the caller's transaction."""
    for entry in entries:
        if isinstance(entry, AttemptEntry):
            connection.execute(_ATTEMPT, _attempt_values(entry))
        elif isinstance(entry, EventEntry):
            connection.execute(_EVENT, _event_values(entry))
            connection.execute(_BODY, _body_values(entry))
        else:
            connection.execute(_DEAD_LETTER, _dead_letter_values(entry))
    update_status(connection, dict.fromkeys(event_id_of(entry) for entry in entries))


def event_id_of(entry: JournalEntry) -> str:
    return entry.event.id if isinstance(entry, EventEntry) else entry.event_id


def _event_values(entry: EventEntry) -> tuple[str | float | int | None, ...]:
    event = entry.event
    return (
        event.id,
        event.source_name,
        event.type,
        event.subject,
        event.actor,
        unix_seconds(event.receivedat),
        entry.at,
        entry.expected,
        entry.broken,
    )


def _body_values(entry: EventEntry) -> tuple[str, str, str]:
    return entry.event.id, to_json(to_cloudevent(entry.event)), to_json(route_documents(entry.routes))


def _attempt_values(entry: AttemptEntry) -> tuple[str | float | int, ...]:
    return (
        entry.delivery_id,
        entry.event_id,
        entry.route,
        entry.destination,
        entry.attempt_number,
        entry.started_at,
        entry.ended_at,
        entry.outcome,
        entry.reason,
        entry.answer,
    )


def _dead_letter_values(entry: DeadLetter) -> tuple[str | float | bytes, ...]:
    return (
        entry.id,
        entry.code,
        entry.reason,
        entry.at,
        entry.message,
        entry.topic,
        entry.event_id,
        entry.route,
        entry.destination,
    )
