"""The local journal, for the page and the commands. Synchronous: call it in a thread."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from deploy.history import chart, journal_view, local_erasure, local_search, text_index
from shared import delivery, journal, jsontext, ledger_rules
from shared.cloud.local import database
from shared.cloud.local.journal import open_journal, update_status

_REQUESTS: Final = (
    "SELECT at, method, status, source, code, event_id, type, detail, bytes, duration_ms, seq FROM requests"
)
_DEAD_LETTERS: Final = (
    "SELECT id, code, reason, at, message, topic, event_id, route, destination, seq, state FROM dead_letters"
)
_ATTEMPTS: Final = (
    "SELECT delivery_id, event_id, route, destination, attempt_number, started_at, ended_at, outcome, reason, answer"
    " FROM attempts WHERE event_id = ? AND attempt_number > 0 ORDER BY seq"
)
_OPEN_STATUSES: Final = ", ".join(f"'{status}'" for status in journal_view.UNFINISHED_STATUSES if status != "received")
"""The statuses of an event with unfinished deliveries. An event that is only `received` has no deliveries yet."""
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


class JournalReader:
    """The journal of this machine. If its file does not exist, it is created, so the journal is empty.

    What a command or the page changes is written by a connection of its own, so `version` changes with it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._connection = open_journal(path)
        text_index.attach_index(self._connection, path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def version(self) -> int:
        """Return a number that changes with each write of another connection."""
        (version,) = self._connection.execute("PRAGMA main.data_version").fetchone()
        return int(version)

    def index(self, limit: int = text_index.INDEX_BATCH) -> int:
        """Index the next new events for searches by text, and return their number."""
        return text_index.index_events(self._connection, limit)

    def not_indexed(self) -> int:
        return text_index.events_behind(self._connection)

    def events(self, query: journal_view.EventQuery) -> journal_view.EventPage:
        return local_search.read_page(self._connection, query, self._clock)

    def event(self, event_id: str) -> journal_view.EventRecord | None:
        select = f"SELECT {local_search.COLUMNS} FROM events WHERE id = ?"  # noqa: S608 our own column names
        row = self._connection.execute(select, (event_id,)).fetchone()
        if row is None:
            return None
        select = "SELECT document, routes, passes FROM bodies WHERE event_seq = ?"
        # Transform writes the body. Its document is empty after the retention.
        body = self._connection.execute(select, (row[0],)).fetchone()
        document_text, routes_text, passes = body or ("", "[]", 0)
        document: jsontext.Json = json.loads(document_text) if document_text else None
        routes: jsontext.Json = json.loads(routes_text)
        return journal_view.EventRecord(
            summary=journal_view.EventSummary(*row),
            document=document if isinstance(document, dict) else None,
            routes=journal.decisions_from(routes),
            passes=passes,
            requests=self._requests("WHERE event_id = :id ORDER BY seq", id=event_id),
            attempts=self.attempts(event_id),
            dead_letters=self.letters_of_event(event_id),
            other_routes=journal.other_routes_from(routes),
            spans=journal.spans_from(routes),
        )

    def attempts(self, event_id: str) -> tuple[journal.AttemptEntry, ...]:
        return tuple(journal.AttemptEntry(*row) for row in self._connection.execute(_ATTEMPTS, (event_id,)))

    def last_outcomes(self, event_id: str) -> dict[str, str]:
        """Return the last outcome of each delivery, by its id. Outcomes without an attempt count too."""
        select = "SELECT delivery_id, outcome FROM attempts WHERE event_id = ? ORDER BY seq"
        return dict(self._connection.execute(select, (event_id,)).fetchall())

    def open_events(
        self, after: int, routed_before: float, limit: int, *, newest_first: bool = False
    ) -> list[tuple[int, str]]:
        """Return `seq` and id of the events with unfinished deliveries, oldest first unless `newest_first`."""
        order = "seq DESC" if newest_first else "seq"
        return self._connection.execute(
            f"SELECT seq, id FROM events WHERE status IN ({_OPEN_STATUSES})"  # noqa: S608 our own text
            f" AND seq > ? AND coalesce(routed_at, received_at) < ? ORDER BY {order} LIMIT ?",
            (after, routed_before, limit),
        ).fetchall()

    def mark_routed(self, event_id: str, received_before: float, expected: int) -> None:
        """Store the number of an older event's deliveries if a full disk has prevented the entry of transform."""
        with closing(open_journal(self._path)) as connection, database.transaction(connection):
            if connection.execute(_MARK_ROUTED, (expected, event_id, received_before)).rowcount:
                update_status(connection, [event_id])

    def rejected(
        self, limit: int, before: int | None = None, source: str | None = None
    ) -> tuple[journal_view.RequestRow, ...]:
        """Return the requests that were answered with 4xx or 503, newest first."""
        where = "WHERE status >= 400 AND (:before IS NULL OR seq < :before)"
        where += " AND source = :source" if source is not None else ""  # by an index of its own
        return self._requests(f"{where} ORDER BY seq DESC LIMIT :limit", before=before, limit=limit, source=source)

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return the dead letters in that state, newest first; in any state if it is None."""
        return self._dead_letters(
            "WHERE (:state IS NULL OR state = :state) AND (:before IS NULL OR seq < :before)"
            " ORDER BY seq DESC LIMIT :limit",
            state=state,
            before=before,
            limit=limit,
        )

    def dead_letter(self, dead_letter_id: str) -> journal_view.DeadLetterRow | None:
        found = self._dead_letters("WHERE id = :id", id=dead_letter_id)
        return found[0] if found else None

    def letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        return self._dead_letters("WHERE event_id = :id ORDER BY seq", id=event_id)

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        with closing(open_journal(self._path)) as connection, database.transaction(connection):
            found = [row for each in ids for row in connection.execute(_MARK, {"state": state, "id": each}).fetchall()]
            update_status(connection, {event_id for (event_id,) in found})
        return len(found)

    def erase(self, event_ids: Sequence[str]) -> None:
        """Erase the content of the events, and drop the search index, which cannot forget single events."""
        with closing(open_journal(self._path)) as connection:
            local_erasure.erase_events(connection, event_ids, time.time())
        text_index.drop_index(self._connection)

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:
        """Return how many attempts of these deliveries (event, delivery) have an answer or a reason to erase."""
        return sum(
            1
            for event_id, delivery_id in deliveries
            for each in self.attempts(event_id)
            if each.delivery_id == delivery_id and (each.answer or each.reason not in ("", ledger_rules.FORGOTTEN))
        )

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:
        with closing(open_journal(self._path)) as connection, database.transaction(connection):
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

    def series(self, now: float, span_seconds: float, count: int) -> tuple[chart.Bucket, ...]:
        """Return the last `span_seconds` in `count` buckets, oldest first."""
        span = chart.span_of(now, span_seconds, count)
        window = {"since": span.since, "width": span.width}
        requests, attempts, latencies = [
            self._connection.execute(sql, window).fetchall() for sql in (_REQUEST_COUNTS, _ATTEMPT_COUNTS, _LATENCIES)
        ]
        return chart.make_buckets(span, requests, attempts, latencies)

    def newest_numbers(self) -> tuple[int, int]:
        """Return the numbers of the newest request and of the newest attempt."""
        requests, attempts = "SELECT max(seq) FROM requests", "SELECT max(seq) FROM attempts"
        row = self._connection.execute(f"SELECT coalesce(({requests}), 0), coalesce(({attempts}), 0)").fetchone()
        return row[0], row[1]

    def requests_after(self, seq: int, limit: int) -> list[tuple[int, float, int, str]]:
        """Return the number, time, status and source of the next requests, oldest first."""
        select = "SELECT seq, at, status, source FROM requests WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._connection.execute(select, (seq, limit)).fetchall()

    def attempts_after(self, seq: int, limit: int) -> list[chart.AttemptTimes]:
        """Return the next attempts, oldest first."""
        return [chart.AttemptTimes(*row) for row in self._connection.execute(_ATTEMPTS_AFTER, (seq, limit))]

    def counts(self) -> dict[str, int]:
        """Return the number of events by status; only of statuses that have events."""
        return dict(self._connection.execute("SELECT status, count(*) FROM events GROUP BY status").fetchall())

    def totals(self) -> journal_view.Totals:
        row = self._connection.execute(
            "SELECT (SELECT count(*) FROM requests WHERE status >= 400),"
            " (SELECT count(*) FROM dead_letters WHERE state = 'kept')"
        ).fetchone()
        return journal_view.Totals(*row)

    def _requests(self, where: str, **parameters: local_search.Parameter) -> tuple[journal_view.RequestRow, ...]:
        return tuple(
            journal_view.RequestRow(*row) for row in self._connection.execute(f"{_REQUESTS} {where}", parameters)
        )

    def _dead_letters(self, where: str, **parameters: local_search.Parameter) -> tuple[journal_view.DeadLetterRow, ...]:
        return tuple(
            journal_view.DeadLetterRow(*row) for row in self._connection.execute(f"{_DEAD_LETTERS} {where}", parameters)
        )


# The queries of charts

# `:since` is where the window begins, `:width` a bucket's seconds. The newest 4,000 deliveries say how long one takes.
_REQUEST_COUNTS: Final = """
SELECT CAST((at - :since) / :width AS INTEGER), total(status < 400), total(status >= 400) FROM requests
WHERE at >= :since GROUP BY 1
"""
_ATTEMPT_COUNTS: Final = f"""
SELECT CAST((ended_at - :since) / :width AS INTEGER), total(outcome = 'delivered'), total(outcome <> 'delivered')
FROM attempts WHERE ended_at >= :since AND attempt_number > 0 AND destination <> '{delivery.ROUTE_ITSELF}' GROUP BY 1
"""  # noqa: S608 our own text
# The first attempt of a delivery has the number 1, no attempt before it, and no replay as its cause: a replay begins
# again with number 1.
_FIRSTS: Final = """
firsts AS (SELECT min(seq) AS seq FROM attempts
    WHERE event_id IN (SELECT event_id FROM chosen) AND attempt_number > 0 GROUP BY event_id, delivery_id)
"""
# A replay can also make a delivery that was not there before. The surrounding query has the attempt's `started_at` and
# the event's columns. CASE does not read the body unless the time asks for it.
_IS_REPLAYED: Final = f"""
CASE WHEN routed_at > received_at + {chart.REPLAYED_SECONDS} AND started_at >= routed_at
    THEN coalesce((SELECT passes FROM bodies WHERE event_seq = events.seq), 1) > 1 ELSE 0 END
"""  # noqa: S608 our own number
_ATTEMPTS_AFTER: Final = f"""
WITH chosen AS (SELECT seq, started_at, ended_at, outcome, attempt_number, destination, event_id FROM attempts
    WHERE seq > ? AND attempt_number > 0 ORDER BY seq LIMIT ?), {_FIRSTS}
SELECT chosen.seq, ended_at, outcome,
    attempt_number = 1 AND chosen.seq IN (SELECT seq FROM firsts) AND NOT {_IS_REPLAYED},
    destination, coalesce(source, ''), received_at
FROM chosen LEFT JOIN events ON events.id = event_id ORDER BY chosen.seq
"""  # noqa: S608 our own text
_LATENCIES: Final = f"""
WITH chosen AS (SELECT seq, event_id, started_at, ended_at FROM attempts
    WHERE ended_at >= :since AND outcome = 'delivered' AND attempt_number = 1 ORDER BY ended_at DESC LIMIT 4000),
    {_FIRSTS}
SELECT CAST((ended_at - :since) / :width AS INTEGER), ended_at - received_at
FROM chosen JOIN events ON events.id = event_id WHERE chosen.seq IN (SELECT seq FROM firsts) AND NOT {_IS_REPLAYED}
"""  # noqa: S608 our own text
