"""Queries of the journal's events: a page of them within a bounded time, however many there are.

Measured over 1,000,000 events, SQLite's own choice of an index takes up to 280 ms of CPU where two conditions that many
events meet are met together by few. So the condition that few events meet is found first, and its index decides.
Where every condition is met by many, the newest events are searched in windows until the page is full or the time is
over; the next page continues there.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.journal_view import EventPage, EventQuery, EventSummary, search_words
from deploy.history.local_search import events_behind, match_expression

Parameter = str | int | float | None

COLUMNS: Final = (
    "events.seq, id, source, type, subject, actor, received_at, routed_at, expected, status"  # as EventSummary has them
)
SEARCH_SECONDS: Final = 0.06
WINDOW: Final = 150_000
FEW: Final = 2_000
MAX_TYPES: Final = 200

# The distinct types from a beginning on, each found with one step through the index.
_TYPES: Final = """
WITH RECURSIVE found (type) AS (
    SELECT min(type) FROM events WHERE type >= :start
    UNION ALL SELECT (SELECT min(type) FROM events WHERE type > found.type) FROM found
    WHERE found.type < :start || char(1114111))
SELECT type FROM found WHERE type GLOB :pattern LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an indexed column. `sql` begins with the column; with `is_ordered`, the index yields its events by
    `seq`."""

    sql: str
    values: tuple[Parameter, ...]
    is_ordered: bool = False


def read_page(
    connection: sqlite3.Connection, query: EventQuery, clock: Callable[[], float] = time.monotonic
) -> EventPage:
    """Return the newest events that match, or those of them that are found in time: `next_before` is where to go on."""
    words, conditions = search_words(query.text), _conditions(connection, query)
    tables, order, match = "events", "events.seq", None
    if words:
        tables, order = "search.texts JOIN events ON events.seq = texts.rowid", "texts.rowid"
        match = Condition("texts MATCH ?", (match_expression(words),))
    rarest = None if match else _rarest(connection, conditions)
    # A plus before a column keeps SQLite from using its index.
    used = [each.sql if each is rarest else f"+{each.sql}" for each in conditions]
    where = " AND ".join([*([match.sql] if match else []), *used, f"{order} < ?", f"{order} > ?"])
    select = f"SELECT {COLUMNS} FROM {tables} WHERE {where} ORDER BY {order} DESC LIMIT ?"  # noqa: S608 ours
    values = [value for each in ([match] if match else []) + conditions for value in each.values]
    is_whole = rarest is not None or len(conditions) == 0
    rows: list[EventSummary] = []
    bottom = 0
    for top, bottom in _windows(connection, query.before, is_whole, clock):
        wanted = query.limit + 1 - len(rows)
        rows += [EventSummary(*row) for row in connection.execute(select, (*values, top, bottom, wanted))]
        if len(rows) > query.limit:
            break
    not_indexed = events_behind(connection) if words else 0
    if len(rows) > query.limit:
        return EventPage(tuple(rows[: query.limit]), rows[query.limit - 1].seq, not_indexed)
    return EventPage(tuple(rows), bottom + 1 if bottom else None, not_indexed)


def _windows(
    connection: sqlite3.Connection, before: int | None, is_whole: bool, clock: Callable[[], float]
) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each window, which are outside it, while another one is likely to be searched in time."""
    began = now = clock()
    took = 0.0
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    top = newest + 1 if before is None else min(before, newest + 1)
    while top > 1 and now - began + took <= SEARCH_SECONDS:
        bottom = 0 if is_whole else max(0, top - 1 - WINDOW)
        yield top, bottom
        top, took, now = bottom + 1, clock() - now, clock()


def _conditions(connection: sqlite3.Connection, query: EventQuery) -> list[Condition]:
    conditions = [
        Condition(f"{column} = ?", (value,), is_ordered=True)
        for column, value in (("source", query.source), ("status", query.status))
        if value
    ]
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
