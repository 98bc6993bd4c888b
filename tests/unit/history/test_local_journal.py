"""The local journal: journals of earlier versions, and pages of events, which cost a bounded time."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings, strategies as st

from deploy.history import local_search
from deploy.history.documents import request_document
from deploy.history.journal_view import EventPage, EventQuery, EventSummary, search_words
from deploy.history.local import open_local_state
from deploy.history.local_journal import JournalReader
from deploy.history.local_requests import RequestEntry, request_from, write_requests
from deploy.history.local_retention import purge_journal
from deploy.history.source_health import Outside, read_facts
from deploy.history.state import StateFault
from deploy.history.text_index import match_expression
from functions.notify.recovery import airtable
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal, update_status, write_entries
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry, RouteDecision
from shared.jsontext import Json, JsonObject, to_json
from shared.outcomes import AttemptOutcome
from shared.retention import DAY_SECONDS, Retention
from shared.times import rfc3339

NOW = 1_790_000_000.0
TELL = RouteDecision("tell", True, "its type matches", ("list",))


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_journal(path)
        self.reader = JournalReader(path)

    def record(self, *entries: JournalEntry) -> None:
        with transaction(self.connection):
            write_entries(self.connection, entries)

    def request(self, *entries: RequestEntry) -> None:
        with transaction(self.connection):
            write_requests(self.connection, entries)

    def find(self, **query: str | float | int | None) -> list[str]:
        self.reader.index()
        return [event.id for event in self.reader.events(EventQuery(**query)).events]  # type: ignore[arg-type] # a test's shorthand

    def status(self, event_id: str) -> str:
        record = self.reader.event(event_id)
        assert record
        return record.summary.status


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    yield made
    made.reader.close()
    made.connection.close()


def entry(
    event_id: str,
    *routes: RouteDecision,
    at: float = NOW,
    source: str = "web",
    type: str = "signup.created",
    data: Json = None,
) -> EventEntry:
    event = Event(event_id, f"/sources/{source}", type, rfc3339(at), "0" * 64, data)
    return EventEntry(event, routes, at)


def attempt(event_id: str, outcome: str, destination: str = "list", number: int = 1) -> AttemptEntry:
    delivery_id = f"{event_id}-{destination}"
    return AttemptEntry(delivery_id, event_id, "tell", destination, number, NOW, NOW + 1, outcome, "why", "202")


def dead_letter(event_id: str) -> DeadLetter:
    return DeadLetter(
        f"{event_id}-list", "request_rejected", "no such user", NOW, b"{}", "deliveries", event_id, "tell", "list"
    )


def test_a_search_says_how_many_events_it_could_not_see_yet(journal: Journal) -> None:
    journal.record(entry("e1", TELL), entry("e2", TELL))
    assert journal.reader.events(EventQuery(text="web")).not_indexed == 2


@given(st.text(st.characters()))
def test_no_search_text_is_an_error_of_the_index(text: str) -> None:
    words = search_words(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5 (text)")
        if words:
            connection.execute("SELECT * FROM texts WHERE texts MATCH ?", (match_expression(words),)).fetchall()


def test_an_accepted_event_is_listed_before_transform_has_seen_it(journal: Journal) -> None:
    journal.request(RequestEntry(NOW, "POST", 200, "web", event_id="e1", type="signup.created"))
    assert journal.status("e1") == "received"
    journal.record(entry("e1", TELL, data={"name": "Ada"}))
    assert journal.status("e1") == "delivering"
    assert journal.find(text="ada") == ["e1"]


def test_an_event_whose_type_the_log_withholds_has_it_from_transform(journal: Journal) -> None:
    journal.request(RequestEntry(NOW, "POST", 200, "web", event_id="e1", type="other"))
    assert journal.find(type="other") == []
    journal.record(entry("e1", TELL))
    record = journal.reader.event("e1")
    assert record
    assert record.summary.type == "signup.created"


def test_rejected_requests_come_newest_first(journal: Journal) -> None:
    journal.request(
        RequestEntry(NOW, "POST", 200, "web", event_id="e1"),
        RequestEntry(NOW + 1, "POST", 401, "web", code="password_mismatch", detail="the password is not the source's"),
        RequestEntry(NOW + 2, "GET", 404, "nobody", code="unknown_source"),
    )
    assert [request.code for request in journal.reader.rejected(10)] == ["unknown_source", "password_mismatch"]


def test_the_last_rejection_of_a_source_is_found_behind_any_number_of_others(journal: Journal) -> None:
    others = [RequestEntry(NOW + 1, "GET", 404, "wp-login", code="unknown_source") for _ in range(600)]
    journal.request(RequestEntry(NOW, "POST", 401, "web", code="password_mismatch"), *others)
    [facts] = read_facts(journal.reader, {"sources": {"web": {}}}, {}, Outside())
    assert facts.rejected is not None
    assert facts.rejected.code == "password_mismatch"


@pytest.mark.parametrize(
    ("event_type", "sent_at", "is_missed"),
    [("push", NOW - 600, True), ("push", NOW - 60, False), (airtable.TYPE, NOW - 600, False)],
)
def test_a_source_missed_its_last_event_if_it_was_recovered_and_none_came_by_itself_shortly_before(
    journal: Journal, event_type: str, sent_at: float, is_missed: bool
) -> None:
    receive: JsonObject = {"sources": {"web": {"recover": "listed"}}}
    sent, recovered = entry("e1", at=sent_at), entry("e2", type=event_type)
    journal.record(sent, replace(recovered, event=replace(recovered.event, recovered=True)))
    [facts] = read_facts(journal.reader, receive, {}, Outside())
    assert facts.is_last_missed is is_missed


def test_a_log_line_of_receive_is_a_request() -> None:
    line: JsonObject = {"function": "receive", "time": rfc3339(NOW), "method": "POST", "status": 401, "source": "web"}
    line |= {"code": "signature_mismatch", "detail": "none", "duration_ms": 0.4}
    expected = RequestEntry(NOW, "POST", 401, "web", "signature_mismatch", detail="none", duration_ms=0.4)
    assert request_from(line) == expected


@pytest.mark.parametrize(
    "line", [{}, {"function": "notify", "status": 200}, {"function": "receive", "status": 200, "time": "x"}]
)
def test_other_lines_are_no_requests(line: JsonObject) -> None:
    assert request_from(line) is None


def test_what_is_older_than_its_retention_goes_and_what_is_on_its_way_stays(journal: Journal) -> None:
    long_ago = NOW - 40 * DAY_SECONDS
    journal.record(entry("gone", at=long_ago), entry("held", TELL, at=long_ago), attempt("held", "held"))
    journal.record(entry("faded", at=NOW - 10 * DAY_SECONDS, data={"name": "Ada"}), entry("young", at=NOW))
    purge_journal(journal.path, NOW, Retention(bodies_seconds=7 * DAY_SECONDS))
    assert journal.find() == ["young", "faded", "held"]
    faded, held = journal.reader.event("faded"), journal.reader.event("held")
    assert faded
    assert faded.document is None
    assert held
    assert held.document


def test_an_index_most_of_whose_events_are_gone_is_built_again(journal: Journal) -> None:
    ages = {"old": 40, "older": 41, "young": 0}
    journal.record(*(entry(name, at=NOW - days * DAY_SECONDS, data={"name": name}) for name, days in ages.items()))
    assert journal.reader.index() == 3
    purge_journal(journal.path, NOW, Retention())
    assert journal.reader.index() == 1
    assert journal.find(text="young") == ["young"]


def test_what_is_not_found_may_not_be_processed_yet_where_only_transform_lists_events(tmp_path: Path) -> None:
    open_journal(tmp_path / FILE_NAME).close()
    with open_local_state(tmp_path) as state:
        with pytest.raises(StateFault, match=r"begins with it\. If Hookchain was started with another"):
            state.find_id("events", "4f2a9c")
        with pytest.raises(StateFault, match="listed once transform has processed it: `hookchain logs --event ID`"):
            replace(state, lists_accepted=False).find_id("events", "4f2a9c")


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


def test_an_upgrade_keeps_what_the_search_index_has(earlier: Path) -> None:
    with JournalReader(earlier) as reader:
        assert reader.index() == 3
    with closing(open_journal(earlier)) as connection, transaction(connection):
        write_entries(connection, [EventEntry(EVENTS[0], (), NOW)])
    with JournalReader(earlier) as reader:
        assert reader.index() == 1
        found = [[event.id for event in reader.events(EventQuery(text=f"word{n}")).events] for n in range(4)]
    assert found == [[event.id] for event in EVENTS]


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
            (RouteDecision("all", True, "because", (), "cast_failed"),),
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


@settings(max_examples=100)
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


def test_the_document_of_a_rejected_request_says_when_and_why(journal: Journal) -> None:
    entry = RequestEntry(NOW, "POST", 401, "shop", "signature_mismatch", detail="no match", bytes=2, duration_ms=1.5)
    with transaction(journal.connection):
        write_requests(journal.connection, [entry])
    [row] = journal.reader.rejected(10)
    assert request_document(row) == {
        **{"seq": 1, "at": rfc3339(NOW), "method": "POST", "status": 401, "code": "signature_mismatch"},
        **{"source": "shop", "event_id": None, "detail": "no match", "bytes": 2, "duration_ms": 1.5},
    }


SOURCES = ("web", "shop")
TYPES = ("order.paid", "order.sent", "signup", "order[1]")
NAMES = ("ada", "grace", "edsger")
LISTED_OUTCOMES: tuple[AttemptOutcome, ...] = ("delivered", "failed", "retry_scheduled")
LISTED_EVENTS = 80


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalReader]:
    """80 events whose times are not in their order; its time for a search is over after one window."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    dice = random.Random(7)
    connection = open_journal(path)
    for number in range(LISTED_EVENTS):
        received_at = rfc3339(NOW + dice.randrange(20))
        source, event_type = f"/sources/{dice.choice(SOURCES)}", dice.choice(TYPES)
        event = Event(f"e{number}", source, event_type, received_at, "0" * 64, {"name": dice.choice(NAMES)})
        routed = EventEntry(event, (RouteDecision("all", True, "it matches", ("list",)),), NOW)
        outcome = dice.choice(LISTED_OUTCOMES)
        attempt = AttemptEntry(f"d{number}", event.id, "all", "list", 1, NOW, NOW, outcome, "", "")
        with transaction(connection):
            write_entries(connection, [routed, attempt])
    connection.close()
    ticks = count()
    with JournalReader(path, clock=lambda: float(next(ticks))) as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_search, "WINDOW", 7)
        patch.setattr(local_search, "FEW", 5)
        reader.index()
        yield reader


def pages(reader: JournalReader, query: EventQuery) -> list[EventPage]:
    found = [reader.events(query)]
    while found[-1].next_before is not None:
        found.append(reader.events(replace(query, before=found[-1].next_before)))
    return found


def matches(event: EventSummary, name: str, query: EventQuery) -> bool:
    wanted_type = query.type or event.type
    assert wanted_type
    assert event.type
    is_type = event.type.startswith(wanted_type[:-1]) if wanted_type.endswith("*") else event.type == wanted_type
    return (
        is_type
        and query.source in (None, event.source)
        and query.status in (None, event.status)
        and (query.since is None or event.received_at >= query.since)
        and (query.until is None or event.received_at <= query.until)
        and name.startswith(query.text)
    )


TIMES = st.none() | st.integers(-1, 21).map(lambda seconds: NOW + seconds)


@given(
    st.builds(
        EventQuery,
        source=st.sampled_from([None, *SOURCES, "none"]),
        type=st.sampled_from([None, *TYPES, "order*", "order.*", "order[*", "*", "x*"]),
        status=st.sampled_from([None, "delivered", "dead_lettered", "held"]),
        text=st.sampled_from(["", "ada", "gr", "nobody"]),
        since=TIMES,
        until=TIMES,
        limit=st.integers(1, 12),
    )
)
def test_the_pages_of_a_search_are_all_matching_events_newest_first(reader: JournalReader, query: EventQuery) -> None:
    everything = [event for page in pages(reader, EventQuery()) for event in page.events]
    assert len(everything) == LISTED_EVENTS
    names = {each.id: name for name in NAMES for page in pages(reader, EventQuery(text=name)) for each in page.events}
    found = pages(reader, query)
    assert [event.id for page in found for event in page.events] == [
        event.id for event in everything if matches(event, names[event.id], query)
    ]
    assert all(len(page.events) <= query.limit for page in found)


def test_a_search_that_many_events_meet_in_each_condition_ends_in_time_and_says_where(reader: JournalReader) -> None:
    found = pages(reader, EventQuery(source="web", status="dead_lettered", type="order*"))
    searched = [page.next_before or 0 for page in found]
    assert len(found) > 5
    assert all(earlier > later for earlier, later in pairwise(searched))


def test_a_condition_that_few_events_meet_is_searched_at_once(reader: JournalReader) -> None:
    assert len(pages(reader, EventQuery(source="web", status="held"))) == 1
