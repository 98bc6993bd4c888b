"""The search for events in the local journal, page by page, the newest first.

A page takes a bounded time, however many events there are. With SQLite's own choice of an index, a search of 1,000,000
events took up to 280 ms of CPU if each of two conditions was met by many events, but both together by few. So the
condition that few events meet is found first, and its index is used. If many events meet every condition, the newest
events are searched in windows until the page is full or the time is over; the next page continues there.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from deploy.history.journal_view import EventPage, EventQuery, EventSummary, search_words
from deploy.history.text_index import events_behind, match_expression

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
"""The distinct types that match a pattern. Each step of the recursion finds the next type by one look-up in the index,
so the events of a type are not read."""


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
    next_before: int | None = None
    for top, bottom in _windows(connection, query.before, select.has_few_rows, clock):
        missing = query.limit + 1 - len(rows)  # one more than the page has: it shows that there is another page
        window = connection.execute(select.sql, (*select.values, top, bottom, missing))
        rows += [EventSummary(*row) for row in window]
        next_before = bottom + 1 if bottom else None  # below 0, there is no event
        if len(rows) > query.limit:
            break
    not_indexed = events_behind(connection) if words else 0
    if len(rows) > query.limit:
        page = rows[: query.limit]
        return EventPage(tuple(page), page[-1].seq, not_indexed)
    return EventPage(tuple(rows), next_before, not_indexed)


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
    counts = [_count_few(connection, each) for each in conditions]
    fewest = min(counts, default=FEW)
    return conditions[counts.index(fewest)] if fewest < FEW else None


def _count_few(connection: sqlite3.Connection, condition: Condition) -> int:
    """Return how many events meet the condition; FEW if there are at least so many."""
    select = f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {condition.sql} LIMIT {FEW})"  # noqa: S608 ours
    (count,) = connection.execute(select, condition.values).fetchone()
    return int(count)
