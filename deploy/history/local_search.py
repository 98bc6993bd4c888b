"""The search for events in the local journal: pages of events, and the index for searches by text.

A page takes a bounded time, however many events there are. Measured over 1,000,000 events, SQLite's own choice of an
index takes up to 280 ms of CPU where two conditions that many events meet are met together by few. So the condition
that few events meet is found first, and its index decides. Where every condition is met by many, the newest events are
searched in windows until the page is full or the time is over; the next page continues there.

A search by text has an index of its own, `search.db`, which readers build, so that no function pays for it. It holds
tokens only, by the event's `seq`. It can be thrown away at any time, and grows again.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.history.journal_view import EventPage, EventQuery, EventSummary, readable, search_words
from shared.cloud.local import database

Parameter = str | int | float | None

COLUMNS: Final = (
    "events.seq, id, source, type, subject, actor, received_at, routed_at, expected, status"  # as EventSummary has them
)
SEARCH_SECONDS: Final = 0.06
"""The time after which no further window is searched."""
WINDOW: Final = 150_000
"""The events of a window."""
FEW: Final = 2_000
"""If fewer events meet a condition, all of them are read by its index."""
MAX_TYPES: Final = 200
"""The most types that a pattern is replaced by. The index of types finds them, but not a pattern."""
_TYPES: Final = """
WITH RECURSIVE found (type) AS (
    SELECT min(type) FROM events WHERE type >= :start
    UNION ALL SELECT (SELECT min(type) FROM events WHERE type > found.type) FROM found
    WHERE found.type < :start || char(1114111))
SELECT type FROM found WHERE type GLOB :pattern LIMIT :limit
"""
"""The distinct types from a beginning on, each found with one step through the index."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an indexed column. `sql` begins with the column; with `is_ordered`, the index yields its events by
    `seq`."""

    sql: str
    values: tuple[Parameter, ...]
    is_ordered: bool = False


class _Select(NamedTuple):
    """The SELECT of a page. After `values`, its parameters are the exclusive bounds of a window and a number of rows.

    has_few_rows  it reads few rows in vain, so one window can have all events
    """

    sql: str
    values: Sequence[Parameter]
    has_few_rows: bool


def read_page(
    connection: sqlite3.Connection, query: EventQuery, clock: Callable[[], float] = time.monotonic
) -> EventPage:
    """Return the newest events that match. If the search takes too long, it ends early, with a `next_before`."""
    words = search_words(query.text)
    select = _select(connection, query, words)
    rows: list[EventSummary] = []
    bottom = 0
    for top, bottom in _windows(connection, query.before, select.has_few_rows, clock):
        missing = query.limit + 1 - len(rows)  # one more than the page has: it shows that there is another page
        window = connection.execute(select.sql, (*select.values, top, bottom, missing))
        rows += [EventSummary(*row) for row in window]
        if len(rows) > query.limit:
            break
    not_indexed = events_behind(connection) if words else 0
    if len(rows) > query.limit:
        page = rows[: query.limit]
        return EventPage(tuple(page), page[-1].seq, not_indexed)
    return EventPage(tuple(rows), bottom + 1 if bottom else None, not_indexed)


def _select(connection: sqlite3.Connection, query: EventQuery, words: tuple[str, ...]) -> _Select:
    conditions = _conditions(connection, query)
    if words:
        tables = "search.texts JOIN events ON events.seq = texts.rowid"
        order = "texts.rowid"
        rarest = None
        matching = [Condition("texts MATCH ?", (match_expression(words),))]
    else:
        tables = "events"
        order = "events.seq"
        rarest = _rarest(connection, conditions)
        matching = []
    # A plus before a column keeps SQLite from using its index.
    others = [each.sql if each is rarest else f"+{each.sql}" for each in conditions]
    where = " AND ".join([*(each.sql for each in matching), *others, f"{order} < ?", f"{order} > ?"])
    sql = f"SELECT {COLUMNS} FROM {tables} WHERE {where} ORDER BY {order} DESC LIMIT ?"  # noqa: S608 ours
    values = [value for each in matching + conditions for value in each.values]
    return _Select(sql, values, has_few_rows=rarest is not None or not conditions)


def _windows(
    connection: sqlite3.Connection, before: int | None, is_whole: bool, clock: Callable[[], float]
) -> Iterator[tuple[int, int]]:
    """Yield the exclusive bounds of each window, as long as another one is likely to be searched in time."""
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    top = newest + 1 if before is None else min(before, newest + 1)
    began_at = now = clock()
    last_seconds = 0.0
    while top > 1 and now - began_at + last_seconds <= SEARCH_SECONDS:
        bottom = 0 if is_whole else max(0, top - 1 - WINDOW)
        yield top, bottom
        top = bottom + 1
        last_seconds = clock() - now
        now = clock()


def _conditions(connection: sqlite3.Connection, query: EventQuery) -> list[Condition]:
    conditions: list[Condition] = []
    if query.source:
        conditions.append(Condition("source = ?", (query.source,), is_ordered=True))
    if statuses := query.statuses:
        marks = ", ".join("?" * len(statuses))
        conditions.append(Condition(f"status IN ({marks})", statuses, is_ordered=len(statuses) == 1))
    if query.type:
        conditions.append(_type_condition(connection, query.type))
    if query.since is not None:
        conditions.append(Condition("received_at >= ?", (query.since,)))
    if query.until is not None:
        conditions.append(Condition("received_at <= ?", (query.until,)))
    return conditions


def _type_condition(connection: sqlite3.Connection, wanted: str) -> Condition:
    if not wanted.endswith("*"):
        return Condition("type = ?", (wanted,), is_ordered=True)
    pattern = wanted.replace("[", "[[]").replace("?", "[?]")
    start = wanted.partition("*")[0]
    found = connection.execute(_TYPES, {"start": start, "pattern": pattern, "limit": MAX_TYPES + 1}).fetchall()
    if len(found) > MAX_TYPES:
        return Condition("type GLOB ?", (pattern,))
    return Condition(f"type IN ({','.join('?' * len(found))})", tuple(name for (name,) in found))


def _rarest(connection: sqlite3.Connection, conditions: Sequence[Condition]) -> Condition | None:
    """Return the condition whose index to use, or None if all of them are met by many events."""
    if len(conditions) == 1 and conditions[0].is_ordered:
        return conditions[0]
    counts = [(_count_few(connection, each), number) for number, each in enumerate(conditions)]
    count, number = min(counts, default=(FEW, 0))
    return conditions[number] if count < FEW else None


def _count_few(connection: sqlite3.Connection, condition: Condition) -> int:
    select = f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {condition.sql} LIMIT {FEW})"  # noqa: S608 ours
    (count,) = connection.execute(select, condition.values).fetchone()
    return int(count)


# The index for searches by text

FILE_NAME: Final = "search.db"
INDEX_BATCH: Final = 500
_SCHEMA: Final = """
CREATE VIRTUAL TABLE IF NOT EXISTS search.texts USING fts5 (text, content = '', columnsize = 0);
CREATE TABLE IF NOT EXISTS search.progress (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL);
INSERT OR IGNORE INTO search.progress VALUES (1, 0);
"""
_PENDING: Final = """
SELECT bodies.seq, events.seq, document FROM main.bodies JOIN main.events ON events.seq = event_seq
WHERE bodies.seq > (SELECT seq FROM search.progress) ORDER BY bodies.seq LIMIT ?
"""
_BEHIND: Final = "SELECT max(seq) - (SELECT seq FROM search.progress) FROM main.bodies"


def attach_index(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("ATTACH ? AS search", (str(folder / FILE_NAME),))
    connection.execute("PRAGMA search.schema_version")  # which makes the file
    database.make_private(folder / FILE_NAME)
    is_earlier = database.require_known_version(connection, FILE_NAME, "search")
    connection.execute("PRAGMA search.journal_mode = WAL")
    connection.executescript(_SCHEMA)
    if is_earlier:
        connection.execute(f"PRAGMA search.user_version = {database.VERSIONS[FILE_NAME]}")


def index_events(connection: sqlite3.Connection, limit: int) -> int:
    """Index the next new events, and return their number."""
    # A deferred transaction whose first statement writes: it locks the index, not the journal, as IMMEDIATE would.
    with database.transaction(connection, "BEGIN"):
        connection.execute("UPDATE search.progress SET seq = seq")
        rows = connection.execute(_PENDING, (limit,)).fetchall()
        connection.executemany(
            "INSERT INTO search.texts (rowid, text) VALUES (?, ?)",
            [(event_seq, readable(document)) for _, event_seq, document in rows],
        )
        if rows:
            connection.execute("UPDATE search.progress SET seq = ?", (rows[-1][0],))
    return len(rows)


def drop_index(connection: sqlite3.Connection) -> None:
    connection.executescript("DROP TABLE search.texts; DROP TABLE search.progress;" + _SCHEMA)


def events_behind(connection: sqlite3.Connection) -> int:
    """Return about how many events are not in the index yet."""
    (behind,) = connection.execute(_BEHIND).fetchone()
    return max(0, int(behind or 0))


def match_expression(words: tuple[str, ...]) -> str:
    """Return an FTS5 expression for all the words, each as a beginning, and quoted so that none is an operator."""
    return " ".join('"{}" *'.format(word.replace('"', " ")) for word in words)
