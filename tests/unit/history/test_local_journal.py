import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.history.journal_view import EventQuery, search_words
from deploy.history.local import open_local_state
from deploy.history.local_journal import JournalReader, match_expression
from deploy.history.local_requests import RequestEntry, request_from, write_requests
from deploy.history.local_retention import purge_journal
from deploy.history.state import StateFault
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal, write_entries
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry, RouteDecision
from shared.jsontext import Json, JsonObject
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


@pytest.mark.parametrize(
    "text", ["ada", "LOVELACE", "ada@exam", '"ada lovelace"', "love ada", "123", "password_created"]
)
def test_an_event_is_found_by_the_beginnings_of_its_words(journal: Journal, text: str) -> None:
    data: Json = {"name": "Ada Lovelace", "mail": "ada@example.com", "id": 12345, "event": "password_created"}
    journal.record(entry("e1", TELL, data=data), entry("e2", TELL, data={"name": "Grace"}))
    assert journal.find(text=text) == ["e1"]


def test_a_line_break_in_a_text_does_not_stick_to_the_next_word(journal: Journal) -> None:
    journal.record(entry("e1", TELL, data={"note": "first\nsecond"}))
    assert journal.find(text="second") == ["e1"]


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


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([], "delivering"),
        (["delivered"], "delivered"),
        (["retry_scheduled"], "retry_scheduled"),
        (["unknown"], "retry_scheduled"),
        (["retry_scheduled", "delivered"], "delivered"),
        (["held"], "held"),
        (["failed"], "dead_lettered"),
    ],
)
def test_the_last_attempt_decides_the_status(journal: Journal, outcomes: list[str], status: str) -> None:
    journal.record(entry("e1", TELL))
    journal.record(*(attempt("e1", outcome, number=n) for n, outcome in enumerate(outcomes, 1)))
    assert journal.status("e1") == status


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


def test_a_log_line_of_receive_is_a_request() -> None:
    line: JsonObject = {
        "severity": "WARNING",
        "message": "rejected",
        "time": "2026-09-21T14:13:20.500Z",
        "function": "receive",
        "method": "POST",
        "status": 401,
        "source": "web",
        "code": "signature_mismatch",
        "detail": "none",
        "duration_ms": 0.4,
    }
    expected = RequestEntry(NOW + 0.5, "POST", 401, "web", "signature_mismatch", detail="none", duration_ms=0.4)
    assert request_from(line) == expected


@pytest.mark.parametrize(
    "line",
    [{}, {"function": "notify", "status": 200}, {"function": "receive", "status": 200, "time": "x"}],
)
def test_other_lines_are_no_requests(line: JsonObject) -> None:
    assert request_from(line) is None


def test_what_is_older_than_its_retention_goes_and_what_is_on_its_way_stays(journal: Journal) -> None:
    long_ago = NOW - 40 * DAY_SECONDS
    journal.record(entry("gone", at=long_ago), entry("held", TELL, at=long_ago), attempt("held", "held"))
    journal.record(entry("faded", at=NOW - 10 * DAY_SECONDS, data={"name": "Ada"}), entry("young", at=NOW))
    purged = purge_journal(journal.path, NOW, Retention(bodies_seconds=7 * DAY_SECONDS))
    assert (purged.events, purged.bodies) == (1, 1)
    assert journal.find() == ["young", "faded", "held"]
    faded, held = journal.reader.event("faded"), journal.reader.event("held")
    assert faded
    assert faded.document is None
    assert held
    assert held.document


def test_what_is_not_found_may_not_be_processed_yet_where_only_transform_lists_events(tmp_path: Path) -> None:
    open_journal(tmp_path / FILE_NAME).close()
    with open_local_state(tmp_path) as state:
        with pytest.raises(StateFault, match=r"begins with it$"):
            state.find_id("events", "4f2a9c")
        with pytest.raises(StateFault, match="listed once transform has processed it: `hookchain logs --event ID`"):
            replace(state, lists_accepted=False).find_id("events", "4f2a9c")
