"""What every Journal holds to: entries in any order, again and again, and Temporary as its one complaint."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.history.local_journal import JournalReader
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.local.journal import LocalJournal
from shared.errors import Temporary
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, Journal
from shared.ledger import Ledger
from shared.retention import Retention
from tests.aws.local_aws import KEYS, REGION
from tests.contract.kept_journal import NOW, Kept
from tests.fakes.blobs import FakeBlobs
from tests.fakes.journal import FakeJournal
from tests.gcp.firestore_emulated import EmulatedFirestore


def an_event_entry(event_id: str = "e1") -> EventEntry:
    event = Event(event_id, "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "0" * 64, {"name": "Ada"})
    return EventEntry(event, (), NOW)


def an_attempt(event_id: str = "e1") -> AttemptEntry:
    return AttemptEntry("d" + event_id, event_id, "tell", "list", 1, NOW, NOW + 0.5, "delivered", "", "202 Accepted")


def test_entries_may_come_in_any_order_and_again(kept: Kept) -> None:
    kept.record(an_attempt())
    for _ in range(3):
        kept.letter("d1")
        kept.record(an_event_entry())
    assert kept.found() == ["e1"]
    assert [letter.id for letter in kept.view.dead_letters(9)] == ["d1"]


def test_many_may_record_at_once(kept: Kept) -> None:
    ids = {f"e{number}" for number in range(40)}

    async def work(journal: Journal, _: Ledger) -> None:
        await asyncio.gather(*(journal.record([an_event_entry(each), an_attempt(each)]) for each in ids))

    kept.do(work)
    assert {*kept.found()} == ids


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


async def test_noted_attempts_are_found_soon_and_those_that_cannot_be_written_are_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    for name in ("journal.db", "broken.db"):
        local = LocalJournal(tmp_path / name)
        local.note(an_attempt("e1"))
        local.note(an_attempt("e2"))
        await local.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert sum(bucket.delivered for bucket in reader.series(NOW + 10, 60.0, 6)) == 2
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["count"]) == ("not journaled", 2)
