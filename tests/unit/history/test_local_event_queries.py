"""A page of events costs a bounded time, and its pages together are what a look at every event would find."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import given, strategies as st

from deploy.history import local_search
from deploy.history.journal_view import EventPage, EventQuery, EventSummary
from deploy.history.local_journal import JournalReader
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import open_journal, write_entries
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.outcomes import AttemptOutcome
from shared.times import rfc3339

NOW = 1_790_000_000.0
SOURCES = ("web", "shop")
TYPES = ("order.paid", "order.sent", "signup", "order[1]")
NAMES = ("ada", "grace", "edsger")
OUTCOMES: tuple[AttemptOutcome, ...] = ("delivered", "failed", "retry_scheduled")
EVENTS = 80


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalReader]:
    """80 events whose times are not in their order; its time for a search is over after one window."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    dice = random.Random(7)
    connection = open_journal(path)
    for number in range(EVENTS):
        received_at = rfc3339(NOW + dice.randrange(20))
        source, event_type = f"/sources/{dice.choice(SOURCES)}", dice.choice(TYPES)
        event = Event(f"e{number}", source, event_type, received_at, "0" * 64, {"name": dice.choice(NAMES)})
        routed = EventEntry(event, (RouteDecision("all", True, "it matches", ("list",)),), NOW)
        outcome = dice.choice(OUTCOMES)
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
    assert len(everything) == EVENTS
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
