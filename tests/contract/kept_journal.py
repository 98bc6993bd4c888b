"""A journal that a test fills as the functions do, and looks at through the eyes of whoever reads it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

from deploy.history.dynamo_journal import DynamoJournalReader
from deploy.history.firestore_journal import FirestoreJournalReader
from deploy.history.journal_view import EventQuery, JournalView
from deploy.history.local import open_local_state
from deploy.history.ports import StoredBlobs, closing_port
from deploy.history.state import State, StateFault
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.kept_by_key import UNAVAILABLE, DocumentRecords, DocumentStore
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.journal import LocalJournal, open_journal
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal, JournalEntry, RouteDecision
from shared.jsontext import Json
from shared.ledger import Claimed, Ledger, Settlement
from shared.retention import Retention
from shared.times import rfc3339
from tests.aws.dynamo import DynamoTables
from tests.fakes.blobs import FakeBlobs
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.storage_server import BUCKET

NOW = 1_790_000_000.0
TELL = RouteDecision("tell", True, "its type matches", ("crm",))
OTHER = RouteDecision("other", False, "type 'signup.created' does not match order.*")
Ports: TypeAlias = tuple[FirestoreJournal | DynamoJournal, FirestoreLedger | DynamoLedger, BucketBlobs | FakeBlobs]
"""What a test works with, and the blobs that are closed after it."""
Work = Callable[[Journal, Ledger], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Kept:
    """`do` lets the functions' ports work, over connections of their own. `state` is what commands act on."""

    view: JournalView
    do: Callable[[Work], None]
    state: State

    def record(self, *entries: JournalEntry) -> None:
        async def work(journal: Journal, _: Ledger) -> None:
            await journal.record(entries)

        self.do(work)

    def event(
        self,
        event_id: str,
        *,
        at: float = NOW,
        source: str = "web",
        type: str = "signup.created",
        data: Json = None,
        routes: tuple[RouteDecision, ...] = (TELL, OTHER),
    ) -> Event:
        event = Event(event_id, f"/sources/{source}", type, rfc3339(at), "0" * 64, data, subject="Ada")
        self.record(EventEntry(event, routes, at + 0.1))
        return event

    def deliver(
        self, event: Event, outcome: str, delivery: Delivery | None = None, due_at: float | None = None
    ) -> None:
        """One attempt, in the ledger and in the journal as notify writes them; with `due_at`, a retry that is due."""
        delivery = delivery or Delivery(event, "tell", "crm")

        async def work(journal: Journal, ledger: Ledger) -> None:
            due = None if due_at is None else next(iter(await ledger.due(due_at, 1))).fence
            claim = await ledger.claim(delivery, b"{}", due_at or NOW, 60, due)
            assert isinstance(claim, Claimed)
            names = delivery.id, event.id, delivery.route, delivery.destination
            if outcome == "merged":  # without an attempt; the page's process notes it in the journal
                assert await ledger.settle(claim, Settlement("retry_scheduled", NOW, retry_at=NOW, group="g1"))
                assert await ledger.merge_all([(delivery.id, claim.row.fence)], NOW, "d1") == [True]
                await journal.record([AttemptEntry(*names, 0, NOW, NOW, outcome)])
                return
            attempt = AttemptEntry(*names, 1, NOW + 1, NOW + 1.25, outcome, "why", "answer")
            settlement = {
                "delivered": Settlement("delivered", NOW, attempt=attempt),
                "failed": Settlement("dead_lettered", NOW, "no such user", attempt),
                "retry_scheduled": Settlement("retry_scheduled", NOW, "busy there", attempt, NOW + 60),
                "held": Settlement("held", NOW, "verify the sender", attempt),
            }[outcome]
            assert await ledger.settle(claim, settlement)
            await journal.record([attempt])

        self.do(work)

    def letter(self, letter_id: str, event_id: str = "e1", at: float = NOW) -> None:
        self.record(
            DeadLetter(
                letter_id, "request_rejected", "no such user", at, b'{"a":1}', "deliveries", event_id, "tell", "crm"
            )
        )

    def found(self, **query: str | float | int | None) -> list[str]:
        while self.view.index():
            pass
        return [event.id for event in self.view.events(EventQuery(**query)).events]  # type: ignore[arg-type] # a test's shorthand

    def status(self, event_id: str) -> str:
        [status] = [event.status for event in self.view.events(EventQuery()).events if event.id == event_id]
        record = self.view.event(event_id)
        assert record
        assert record.summary.status == status
        return status


def local_journal(folder: Path) -> Iterator[Kept]:
    open_journal(folder / "journal.db").close()

    async def run(work: Work) -> None:
        journal, ledger = LocalJournal(folder / "journal.db"), LocalLedger(folder / "ledger.db")
        await work(journal, ledger)
        await journal.close()
        await ledger.close()

    def records() -> DocumentRecords:
        return DocumentRecords(LocalDocuments(folder / "records.db", "records", now=lambda: NOW))

    with open_local_state(folder) as opened:
        state = replace(opened, records=lambda: closing_port(records()))
        yield Kept(state.reader, lambda work: asyncio.run(run(work)), state)


def cloud_journal(firestore: EmulatedFirestore, storage_url: str, retention: Retention) -> Iterator[Kept]:
    def blobs() -> BucketBlobs:
        return BucketBlobs(storage_url, BUCKET, no_authorization)

    def ledger() -> FirestoreLedger:
        return FirestoreLedger(firestore.connect())

    def ports() -> Ports:
        places = blobs()
        return FirestoreJournal(firestore.connect("journal_unavailable"), places, retention), ledger(), places

    def documents(store: DocumentStore) -> FirestoreDocuments:
        return FirestoreDocuments(firestore.connect(UNAVAILABLE[store]), store)

    reader = FirestoreJournalReader(firestore.connect("journal_unavailable"), blobs())
    yield from _kept(reader, ports, ledger, lambda: closing_port(blobs()), documents)


def dynamo_journal(tables: DynamoTables, retention: Retention) -> Iterator[Kept]:
    """The reader's clock is the test's: what expires after it is there."""
    blobs = FakeBlobs()

    def ledger() -> DynamoLedger:
        return DynamoLedger(tables.place, tables.prefix)

    def ports() -> Ports:
        return DynamoJournal(tables.place, tables.prefix, blobs, retention), ledger(), blobs

    def documents(store: DocumentStore) -> DynamoDocuments:
        return DynamoDocuments(tables.place, tables.prefix, store)

    store = Dynamo(tables.place, tables.prefix, "journal_unavailable")
    reader = DynamoJournalReader(store, blobs, lambda: NOW)
    yield from _kept(reader, ports, ledger, lambda: nullcontext(blobs), documents)


def _kept(
    reader: FirestoreJournalReader | DynamoJournalReader,
    ports: Callable[[], Ports],
    make_ledger: Callable[[], FirestoreLedger | DynamoLedger],
    blobs: Callable[[], AbstractAsyncContextManager[StoredBlobs]],
    make_documents: Callable[[DocumentStore], FirestoreDocuments | DynamoDocuments],
) -> Iterator[Kept]:
    async def run(work: Work) -> None:
        journal, ledger, places = ports()
        await work(journal, ledger)
        for port in (journal, ledger, places):
            port.close()
        await asyncio.sleep(0)  # in which their connections are gone

    def no_bus() -> NoReturn:
        raise StateFault("no bus")

    state = State(
        reader,
        lambda: closing_port(make_ledger()),
        blobs,
        no_bus,
        lambda: None,
        lambda: None,
        records=lambda: closing_port(DocumentRecords(make_documents("records"))),
        documents=lambda: closing_port(make_documents("documents")),
    )
    try:
        yield Kept(reader, lambda work: asyncio.run(run(work)), state)
    finally:
        reader.close()
