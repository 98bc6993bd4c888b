"""What every Journal holds to: entries in any order, again and again, and Temporary as its one complaint."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.history.dynamo_journal import DynamoJournalReader
from deploy.history.firestore_journal import FirestoreJournalReader
from deploy.history.journal_view import EventQuery, JournalView
from deploy.history.local_journal import JournalReader
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.local.journal import LocalJournal
from shared.errors import Temporary
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal, JournalEntry, RouteDecision
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.local_aws import KEYS, REGION
from tests.contract.platforms import PLATFORMS
from tests.fakes.blobs import FakeBlobs
from tests.fakes.journal import FakeJournal
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.storage_server import BUCKET

NOW = 1_790_000_000.0


@dataclass(frozen=True, slots=True)
class Subject:
    """`told`: what whoever reads the journal finds in it, as kinds and ids. `has_attempts`: the ledger has them alone
    where it is False."""

    journal: Journal
    told: Callable[[], set[tuple[str, str]]]
    has_attempts: bool = True

    def attempts(self, *ids: str) -> set[tuple[str, str]]:
        return {("attempt", each) for each in ids} if self.has_attempts else set()


@pytest.fixture(params=PLATFORMS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = FakeJournal()
        yield Subject(fake, lambda: {_named(entry) for entry in fake.entries})
    elif request.param == "local":
        path = tmp_path / "state" / "journal.db"
        local = LocalJournal(path)
        with JournalReader(path) as reader:
            yield Subject(local, lambda: _told_by(reader))
        await local.close()
    elif "dynamo" in request.param:
        tables: DynamoTables = request.getfixturevalue(request.param)
        on_dynamo = DynamoJournal(tables.place, tables.prefix, FakeBlobs(), Retention())
        store = Dynamo(tables.place, tables.prefix, "journal_unavailable")
        dynamo_reader = DynamoJournalReader(store, None, lambda: NOW)
        yield Subject(on_dynamo, lambda: _told_by(dynamo_reader), has_attempts=False)
        dynamo_reader.close()
        on_dynamo.close()
        await asyncio.sleep(0)  # in which its connections are gone
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreJournal(emulated.connect("journal_unavailable"), FakeBlobs(), Retention())
        reading = FirestoreJournalReader(
            emulated.connect("journal_unavailable"), BucketBlobs("http://none", BUCKET, no_authorization)
        )
        yield Subject(on_firestore, lambda: _told_by(reading), has_attempts=False)
        reading.close()
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone


def _named(entry: JournalEntry) -> tuple[str, str]:
    match entry:
        case EventEntry():
            return "event", entry.event.id
        case AttemptEntry():
            return "attempt", entry.delivery_id
        case DeadLetter():
            return "dead letter", entry.id


def _told_by(view: JournalView) -> set[tuple[str, str]]:
    events = [event.id for event in view.events(EventQuery(limit=500)).events]
    records = [record for event_id in events if (record := view.event(event_id))]
    return {
        *(("event", event_id) for event_id in events),
        *(("attempt", attempt.delivery_id) for record in records for attempt in record.attempts),
        *(("dead letter", letter.id) for letter in view.dead_letters(500)),
    }


def an_event_entry(event_id: str = "e1") -> EventEntry:
    event = Event(event_id, "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "0" * 64, {"name": "Ada"})
    return EventEntry(event, (RouteDecision("tell", True, "its type matches", ("list",)),), NOW)


def an_attempt(event_id: str = "e1", outcome: str = "delivered") -> AttemptEntry:
    return AttemptEntry("d" + event_id, event_id, "tell", "list", 1, NOW, NOW + 0.5, outcome, "", "202 Accepted")


def a_dead_letter(event_id: str = "e1") -> DeadLetter:
    return DeadLetter(
        "d" + event_id, "request_rejected", "the destination refused it", NOW, b"{}", "deliveries", event_id
    )


async def test_entries_of_every_kind_are_accepted(subject: Subject) -> None:
    await subject.journal.record([an_event_entry(), an_attempt(), a_dead_letter()])
    told = {("event", "e1"), ("dead letter", "de1"), *subject.attempts("de1")}
    assert await asyncio.to_thread(subject.told) == told


async def test_an_attempt_may_come_before_its_event(subject: Subject) -> None:
    await subject.journal.record([an_attempt()])
    await subject.journal.record([an_event_entry()])
    assert await asyncio.to_thread(subject.told) == {("event", "e1"), *subject.attempts("de1")}


async def test_attempts_that_are_noted_are_found_soon(subject: Subject) -> None:
    await subject.journal.record([an_event_entry("e1"), an_event_entry("e2")])
    for event_id in ("e1", "e2"):
        subject.journal.note(an_attempt(event_id))
    found = {("event", "e1"), ("event", "e2"), *subject.attempts("de1", "de2")}
    while await asyncio.to_thread(subject.told) != found:
        await asyncio.sleep(0.01)


async def test_the_same_entry_may_come_again(subject: Subject) -> None:
    for _ in range(3):
        await subject.journal.record([an_event_entry(), a_dead_letter()])
    assert await asyncio.to_thread(subject.told) == {("event", "e1"), ("dead letter", "de1")}


async def test_many_may_record_at_once(subject: Subject) -> None:
    ids = [f"e{number}" for number in range(40)]
    await asyncio.gather(*(subject.journal.record([an_event_entry(each), an_attempt(each)]) for each in ids))
    told = await asyncio.to_thread(subject.told)
    assert told == {("event", each) for each in ids} | subject.attempts(*(f"d{each}" for each in ids))


@pytest.fixture(params=["fake", "local", "firestore", "dynamo"])
async def broken(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> AsyncIterator[Journal]:
    """A journal that cannot write."""
    if request.param == "fake":
        fake = FakeJournal()
        fake.fault = "the disk is full"
        yield fake
    elif request.param == "local":
        (tmp_path / "file").write_text("a file where the folder should be")
        local = LocalJournal(tmp_path / "file" / "journal.db")
        yield local
        await local.close()
    elif request.param == "dynamo":
        nowhere = AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{free_port}")
        on_dynamo = DynamoJournal(nowhere, "test-", FakeBlobs(), Retention())
        yield on_dynamo
        on_dynamo.close()
    else:
        emulated: EmulatedFirestore = request.getfixturevalue("firestore")
        on_firestore = FirestoreJournal(emulated.elsewhere(free_port, "journal_unavailable"), FakeBlobs(), Retention())
        yield on_firestore
        on_firestore.close()


async def test_a_journal_that_cannot_write_raises_temporary(broken: Journal) -> None:
    with pytest.raises(Temporary) as error:
        await broken.record([an_event_entry()])
    assert error.value.code == "journal_unavailable"


async def test_noted_attempts_that_cannot_be_written_are_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 100)
    local = LocalJournal(tmp_path / "journal.db")
    local.note(an_attempt("e1"))
    local.note(an_attempt("e2"))
    await local.close()
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["count"]) == ("not journaled", 2)


async def test_a_journal_on_this_machine_names_the_file_that_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    journal = LocalJournal(tmp_path / "file" / "journal.db")
    with pytest.raises(Temporary, match=r"journal\.db cannot be written: (File exists|Not a directory)"):
        await journal.record([an_event_entry()])
    await journal.close()
