"""A journal of an earlier version, whose `bodies` named their events by id, and the first status of an event."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.history.journal_view import EventQuery
from deploy.history.local_journal import JournalReader
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import open_journal, update_status, write_entries
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry, RouteDecision
from shared.jsontext import to_json
from shared.times import rfc3339

NOW: Final = 1_790_000_000.0
EARLIER_BODIES: Final = """
DROP TABLE bodies;
CREATE TABLE bodies (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, document TEXT NOT NULL,
    routes TEXT NOT NULL, passes INTEGER NOT NULL DEFAULT 1);
"""
EVENTS: Final = tuple(
    Event(
        f"{number:032x}", "/sources/shop", "order.created", rfc3339(NOW + number), "0" * 64, data={"n": f"word{number}"}
    )
    for number in range(4)
)
ROUTES: Final = to_json([{"route": "all", "matched": True, "reason": "any", "destinations": ["inbox"], "code": None}])


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The path of a journal whose bodies came in another order than its events, and whose last body is deleted."""
    path = tmp_path / "journal.db"
    with closing(open_journal(path)) as connection, transaction(connection):
        write_entries(connection, [EventEntry(event, (), NOW) for event in EVENTS])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA user_version = 0; {EARLIER_BODIES}")
        insert = "INSERT INTO bodies (event_id, document, routes, passes) VALUES (?, ?, ?, 2)"
        for event in reversed(EVENTS):
            connection.execute(insert, (event.id, to_json(to_cloudevent(event)), ROUTES))
        connection.execute("DELETE FROM bodies WHERE seq = 4")
        connection.commit()
    return path


def test_an_upgrade_keeps_each_events_document_routes_and_passes(earlier: Path) -> None:
    with JournalReader(earlier) as reader:
        records = [reader.event(event.id) for event in EVENTS]
    documents = [None if record is None else record.document for record in records]
    assert documents == [None, *(json.loads(to_json(to_cloudevent(event))) for event in EVENTS[1:])]
    assert [(record.passes, len(record.routes)) for record in records if record] == [(0, 0), (2, 1), (2, 1), (2, 1)]


def test_an_upgrade_never_uses_a_number_of_a_body_again(earlier: Path) -> None:
    with closing(open_journal(earlier)) as connection, transaction(connection):
        write_entries(connection, [EventEntry(EVENTS[0], (), NOW)])
        assert connection.execute("SELECT seq FROM bodies ORDER BY seq").fetchall() == [(1,), (2,), (3,), (5,)]


def test_an_upgrade_keeps_what_the_search_index_has(earlier: Path) -> None:
    with JournalReader(earlier) as reader:
        assert reader.index() == 3
    with closing(open_journal(earlier)) as connection, transaction(connection):
        write_entries(connection, [EventEntry(EVENTS[0], (), NOW)])
    with JournalReader(earlier) as reader:
        assert reader.index() == 1
        found = [[event.id for event in reader.events(EventQuery(text=f"word{n}")).events] for n in range(4)]
    assert found == [[event.id] for event in EVENTS]


def test_an_upgraded_journal_is_not_upgraded_again(earlier: Path) -> None:
    with closing(open_journal(earlier)) as first, closing(open_journal(earlier)) as second:
        assert first.execute("SELECT seq FROM bodies").fetchall() == second.execute("SELECT seq FROM bodies").fetchall()


DECISIONS: Final = st.builds(
    RouteDecision,
    st.sampled_from(["", "all", "some"]),
    st.booleans(),
    st.just("because"),
    st.sampled_from([(), ("inbox",), ("inbox", "crm")]),
    st.sampled_from([None, "cast_failed"]),
)


@given(routes=st.lists(DECISIONS, max_size=25), others=st.integers(0, 3))
def test_the_first_status_of_an_event_is_the_one_that_its_entries_give(
    routes: list[RouteDecision], others: int
) -> None:
    with closing(open_journal(Path(":memory:"))) as connection, transaction(connection):
        write_entries(connection, [EventEntry(EVENTS[0], tuple(routes), NOW, others)])
        first = connection.execute("SELECT status FROM events").fetchall()
        update_status(connection, [EVENTS[0].id])
        assert connection.execute("SELECT status FROM events").fetchall() == first


IDS: Final = st.sampled_from([event.id for event in EVENTS[:2]])
OUTCOMES: Final = ("delivered", "delivered", "failed", "held", "unknown", "merged")
ROUTED: Final = st.builds(
    EventEntry,
    st.sampled_from(EVENTS[:2]),
    st.sampled_from(
        [
            (RouteDecision("all", True, "because", ("inbox",), None),),
            (RouteDecision("all", True, "because", ("inbox", "crm"), None),),
            (RouteDecision("all", False, "because", (), None),),
        ]
    ),
    st.just(NOW),
)
TRIED: Final = st.builds(
    lambda event_id, delivery, outcome: AttemptEntry(delivery, event_id, "all", "inbox", 1, NOW, NOW, outcome),
    IDS,
    st.sampled_from(["first", "second"]),
    st.sampled_from(OUTCOMES),
)
GIVEN_UP: Final = st.builds(
    lambda event_id, delivery: DeadLetter(delivery, "rejected", "no", NOW, b"", "deliveries", event_id),
    IDS,
    st.sampled_from(["first", "second"]),
)


@settings(max_examples=300)
@example(
    [
        [EventEntry(EVENTS[0], (RouteDecision("all", True, "because", ("inbox",), None),), NOW)],
        [
            AttemptEntry(delivery, EVENTS[0].id, "all", "inbox", 1, NOW, NOW, outcome)
            for delivery, outcome in (("first", "failed"), ("second", "delivered"))
        ],
    ]
)
@given(written=st.lists(st.lists(ROUTED | TRIED | TRIED | GIVEN_UP, min_size=1, max_size=3), max_size=6))
def test_every_status_that_is_written_is_the_one_that_all_entries_give(written: list[list[JournalEntry]]) -> None:
    with closing(open_journal(Path(":memory:"))) as connection, transaction(connection):
        for entries in written:
            write_entries(connection, entries)
            statuses = connection.execute("SELECT id, status FROM events ORDER BY id").fetchall()
            update_status(connection, [event.id for event in EVENTS])
            assert connection.execute("SELECT id, status FROM events ORDER BY id").fetchall() == statuses
