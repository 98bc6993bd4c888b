"""The read side of the local journal, for the page and the commands. Synchronous: call it in a thread from a loop."""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from deploy.history import local_search as search
from deploy.history.journal_view import (
    Bucket,
    DeadLetterRow,
    EventPage,
    EventQuery,
    EventRecord,
    EventSummary,
    RequestRow,
    Totals,
    make_buckets,
)
from deploy.history.local_erase import erase_events
from deploy.history.local_event_queries import COLUMNS, Parameter, read_page
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import open_journal, update_status
from shared.journal import AttemptEntry, decisions_from, other_routes_from
from shared.jsontext import Json
from shared.ledger_rules import FORGOTTEN

_REQUESTS: Final = (
    "SELECT seq, at, method, status, code, source, event_id, type, detail, bytes, duration_ms FROM requests"
)
_DEAD_LETTERS: Final = (
    "SELECT seq, id, code, reason, at, message, topic, event_id, route, destination, state FROM dead_letters"
)
_ATTEMPTS: Final = (
    "SELECT delivery_id, event_id, route, destination, attempt_number, started_at, ended_at, outcome, reason, answer"
    " FROM attempts WHERE event_id = ? AND attempt_number > 0 ORDER BY seq"
)
_BODY_OF: Final = "FROM bodies JOIN events ON events.seq = event_seq WHERE events.id = ?"
_BEGINNING: Final = {
    table: f"SELECT id FROM {table}"  # noqa: S608 either name stands here
    " WHERE id >= :start AND id < :start || char(1114111) ORDER BY id LIMIT :limit"
    for table in ("events", "dead_letters")
}
_MARK: Final = "UPDATE dead_letters SET state = :state WHERE id = :id AND state <> :state RETURNING event_id"
_MARK_ROUTED: Final = (
    "UPDATE events SET routed_at = received_at, expected = ? WHERE id = ? AND routed_at IS NULL AND received_at < ?"
)
# `:since` is where the window begins, `:width` a bucket's seconds. The newest 4,000 deliveries say how long one takes.
_REQUEST_COUNTS: Final = """
SELECT CAST((at - :since) / :width AS INTEGER), total(status < 400), total(status >= 400) FROM requests
WHERE at >= :since GROUP BY 1
"""
_ATTEMPT_COUNTS: Final = """
SELECT CAST((ended_at - :since) / :width AS INTEGER), total(outcome = 'delivered'), total(outcome <> 'delivered')
FROM attempts WHERE ended_at >= :since AND attempt_number > 0 GROUP BY 1
"""
_LATENCIES: Final = """
SELECT CAST((ended_at - :since) / :width AS INTEGER), ended_at - received_at
FROM (SELECT event_id, ended_at FROM attempts WHERE ended_at >= :since AND outcome = 'delivered' AND attempt_number = 1
    ORDER BY ended_at DESC LIMIT 4000) JOIN events ON events.id = event_id
"""


class JournalReader:
    """Makes the file where it is missing, so that there is nothing to read rather than an error."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._connection = open_journal(path)
        search.attach_index(self._connection, path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def version(self) -> int:
        """Another number once another connection has written."""
        (version,) = self._connection.execute("PRAGMA main.data_version").fetchone()
        return int(version)

    def index(self, limit: int = search.INDEX_BATCH) -> int:
        """Make the next events findable by text; how many they were."""
        return search.index_some(self._connection, limit)

    def not_indexed(self) -> int:
        return search.events_behind(self._connection)

    def events(self, query: EventQuery) -> EventPage:
        return read_page(self._connection, query, self._clock)

    def event(self, event_id: str) -> EventRecord | None:
        select = f"SELECT {COLUMNS} FROM events WHERE id = ?"  # noqa: S608 our own column names
        row = self._connection.execute(select, (event_id,)).fetchone()
        if row is None:
            return None
        body = self._connection.execute(
            "SELECT document, routes, passes FROM bodies WHERE event_seq = ?", (row[0],)
        ).fetchone()
        document: Json = json.loads(body[0]) if body and body[0] else None
        return EventRecord(
            summary=EventSummary(*row),
            document=document if isinstance(document, dict) else None,
            routes=decisions_from(json.loads(body[1])) if body else (),
            passes=body[2] if body else 0,
            requests=self._requests("WHERE event_id = :id ORDER BY seq", id=event_id),
            attempts=self.attempts(event_id),
            dead_letters=self.letters_of_event(event_id),
            other_routes=other_routes_from(json.loads(body[1])) if body else 0,
        )

    def attempts(self, event_id: str) -> tuple[AttemptEntry, ...]:
        return tuple(AttemptEntry(*row) for row in self._connection.execute(_ATTEMPTS, (event_id,)))

    def last_outcomes(self, event_id: str) -> dict[str, str]:
        """By delivery, notes of the ledger's included."""
        select = "SELECT delivery_id, outcome FROM attempts WHERE event_id = ? ORDER BY seq"
        return dict(self._connection.execute(select, (event_id,)).fetchall())

    def open_events(self, after: int, routed_before: float, limit: int) -> list[tuple[int, str]]:
        """`seq` and id of events whose deliveries are not all at an end, oldest first."""
        return self._connection.execute(
            "SELECT seq, id FROM events WHERE status IN ('delivering', 'waiting', 'retry_scheduled', 'held')"
            " AND seq > ? AND coalesce(routed_at, received_at) < ? ORDER BY seq LIMIT ?",
            (after, routed_before, limit),
        ).fetchall()

    def mark_routed(self, event_id: str, received_before: float, expected: int) -> None:
        """Note how many deliveries an older event has, if transform's entry is missing: the disk was full then."""
        with closing(open_journal(self._path)) as connection, transaction(connection):
            if connection.execute(_MARK_ROUTED, (expected, event_id, received_before)).rowcount:
                update_status(connection, [event_id])

    def rejected(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:
        """Newest first: 4xx, and the 503s that told a sender to come again."""
        where = "WHERE status >= 400 AND (:before IS NULL OR seq < :before) ORDER BY seq DESC LIMIT :limit"
        return self._requests(where, before=before, limit=limit)

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]:
        """Newest first."""
        return self._dead_letters(
            "WHERE (:state IS NULL OR state = :state) AND (:before IS NULL OR seq < :before)"
            " ORDER BY seq DESC LIMIT :limit",
            state=state,
            before=before,
            limit=limit,
        )

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None:
        found = self._dead_letters("WHERE id = :id", id=dead_letter_id)
        return found[0] if found else None

    def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]:
        return self._dead_letters("WHERE event_id = :id ORDER BY seq", id=event_id)

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        with closing(open_journal(self._path)) as connection, transaction(connection):
            found = [row for each in ids for row in connection.execute(_MARK, {"state": state, "id": each}).fetchall()]
            update_status(connection, {event_id for (event_id,) in found})
        return len(found)

    def erase(self, event_ids: Sequence[str]) -> None:
        """Erase, and throw the search index away: it cannot forget an event."""
        with closing(open_journal(self._path)) as connection:
            erase_events(connection, event_ids, time.time())
        search.drop_index(self._connection)

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:
        return sum(
            1
            for event_id, delivery_id in deliveries
            for each in self.attempts(event_id)
            if each.delivery_id == delivery_id and (each.answer or each.reason not in ("", FORGOTTEN))
        )

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:
        with closing(open_journal(self._path)) as connection, transaction(connection):
            connection.executemany(
                "UPDATE attempts SET reason = '', answer = '' WHERE event_id = ? AND delivery_id = ?", deliveries
            )

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        found = self._connection.execute(_BEGINNING[kind], {"start": beginning, "limit": limit})
        return [event_id for (event_id,) in found]

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        select = f"SELECT 1 {_BODY_OF} AND document <> ''"
        return frozenset(each for each in event_ids if self._connection.execute(select, (each,)).fetchone())

    def stored_document(self, event_id: str) -> str | None:
        row = self._connection.execute(f"SELECT document {_BODY_OF}", (event_id,)).fetchone()
        return row[0] or None if row else None

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        """The last `span_seconds` in `count` buckets, oldest first. Their edges stand still as time goes on."""
        width = span_seconds / count
        since = (math.floor(now / width) + 1 - count) * width
        rows = [
            self._connection.execute(sql, {"since": since, "width": width}).fetchall()
            for sql in (_REQUEST_COUNTS, _ATTEMPT_COUNTS, _LATENCIES)
        ]
        return make_buckets(since, width, count, *rows)

    def counts(self) -> dict[str, int]:
        """Events by status, those of status zero left out."""
        return dict(self._connection.execute("SELECT status, count(*) FROM events GROUP BY status").fetchall())

    def totals(self) -> Totals:
        row = self._connection.execute(
            "SELECT (SELECT count(*) FROM requests WHERE status >= 400),"
            " (SELECT count(*) FROM dead_letters WHERE state = 'kept')"
        ).fetchone()
        return Totals(*row)

    def _requests(self, where: str, **parameters: Parameter) -> tuple[RequestRow, ...]:
        return tuple(RequestRow(*row) for row in self._connection.execute(f"{_REQUESTS} {where}", parameters))

    def _dead_letters(self, where: str, **parameters: Parameter) -> tuple[DeadLetterRow, ...]:
        return tuple(DeadLetterRow(*row) for row in self._connection.execute(f"{_DEAD_LETTERS} {where}", parameters))
