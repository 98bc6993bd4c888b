"""What every Journal holds to: entries in any order, again and again, and Temporary as its one complaint."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.local.journal import LocalJournal
from shared.cloud.retention import Retention
from shared.errors import Temporary
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal, RouteDecision
from tests.fakes.blobs import FakeBlobs
from tests.fakes.journal import FakeJournal
from tests.gcp.firestore_emulated import EmulatedFirestore

NOW = 1_790_000_000.0


@pytest.fixture(params=["fake", "local", "firestore", "npm_firestore"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "fake":
        yield FakeJournal()
    elif request.param == "local":
        local = LocalJournal(tmp_path / "state" / "journal.db")
        yield local
        await local.close()
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreJournal(emulated.connect("journal"), FakeBlobs(), Retention())
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone


def an_event_entry(event_id: str = "e1") -> EventEntry:
    event = Event(event_id, "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "0" * 64, {"name": "Ada"})
    return EventEntry(event, (RouteDecision("tell", True, "its type matches", ("list",)),), NOW)


def an_attempt(event_id: str = "e1", outcome: str = "delivered") -> AttemptEntry:
    return AttemptEntry("d" + event_id, event_id, "tell", "list", 1, NOW, NOW + 0.5, outcome, "", "202 Accepted")


def a_dead_letter(event_id: str = "e1") -> DeadLetter:
    return DeadLetter("d" + event_id, "refused", "the destination refused it", NOW, b"{}", "deliveries", event_id)


async def test_entries_of_every_kind_are_taken(journal: Journal) -> None:
    await journal.record([an_event_entry(), an_attempt(), a_dead_letter()])


async def test_nothing_to_record_is_taken(journal: Journal) -> None:
    await journal.record([])


async def test_an_attempt_may_come_before_its_event(journal: Journal) -> None:
    await journal.record([an_attempt()])
    await journal.record([an_event_entry()])


async def test_the_same_entry_may_come_again(journal: Journal) -> None:
    for _ in range(3):
        await journal.record([an_event_entry(), a_dead_letter()])


async def test_many_may_record_at_once(journal: Journal) -> None:
    await asyncio.gather(*(journal.record([an_event_entry(f"e{n}"), an_attempt(f"e{n}")]) for n in range(200)))


async def test_a_journal_that_cannot_write_raises_temporary(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    journal = LocalJournal(tmp_path / "file" / "journal.db")
    with pytest.raises(Temporary, match=r"journal\.db cannot be written"):
        await journal.record([an_event_entry()])
    await journal.close()
