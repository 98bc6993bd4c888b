"""What a document of Firestore holds, how large it may be, and when it expires."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from shared.cloud.gcp import collections
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.kept_by_key import DocumentOwners, DocumentRecords
from shared.errors import Temporary
from shared.journal import AttemptEntry, DeadLetter, EventEntry
from shared.retention import Retention
from shared.store_ports import Kept
from tests.contract.claims import DELIVERY, EVENT, KEY, T, claimed, held, settled
from tests.contract.firestore.rows import DONE, DUE
from tests.fakes.blobs import FakeBlobs
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore

# What documents hold


async def test_only_finished_rows_expire(ledger: FirestoreLedger, documents: MemoryStore) -> None:
    claim = await claimed(ledger)
    for settlement in (None, held()):
        assert settlement is None or await ledger.settle(claim, settlement)
        [document] = documents.documents.values()
        assert "expire_at" not in str(document)
    assert await ledger.forget(KEY, T)
    assert documents.field("ledger", KEY, "expire_at") == {"timestampValue": "2026-11-05T14:13:20.000Z"}


async def test_each_entry_of_the_journal_says_when_it_expires(firestore: EmulatedFirestore) -> None:
    store, retention = firestore.server.store, Retention(10, 5, 20)
    assert isinstance(store, MemoryStore)
    journal = FirestoreJournal(firestore.connect(), None, retention)
    letter = DeadLetter("d1", "request_rejected", "", T, b"{}", "deliveries", "e1")
    await journal.record([EventEntry(EVENT, (), T), letter])
    journal.close()
    await asyncio.sleep(0)
    expiring = {name: store.field(name, doc, "expire_at") for name, doc in (("events", "e1"), ("bodies", "e1"))}
    assert expiring == {
        "events": {"timestampValue": "2026-09-21T14:13:30.000Z"},
        "bodies": {"timestampValue": "2026-09-21T14:13:25.000Z"},
    }
    assert store.field("dead-letters", "d1", "expire_at") == {"timestampValue": "2026-09-21T14:13:40.000Z"}


async def test_every_collection_that_expires_is_in_the_list_of_what_a_deployment_sets_up(
    ledger: FirestoreLedger, journal: FirestoreJournal, documents: MemoryStore, firestore: EmulatedFirestore
) -> None:
    assert await ledger.settle(await claimed(ledger), DONE)
    await journal.record([EventEntry(EVENT, (), T), AttemptEntry("d", "e1", "r", "crm", 1, T, T, "delivered")])
    await journal.record([DeadLetter("d1", "request_rejected", "", T, b"{}", "deliveries")])
    with_bodies = FirestoreJournal(firestore.connect("journal_unavailable"), FakeBlobs(), Retention(10, 5, 20))
    await with_bodies.record([EventEntry(replace(EVENT, id="e2"), (), T)])
    with_bodies.close()
    owners = DocumentOwners(FirestoreDocuments(firestore.connect(), "owners"))
    await owners.owner("k", "e1", T, 60)
    owners.close()
    records = DocumentRecords(FirestoreDocuments(firestore.connect(), "records"))
    await records.change("group:a", T, lambda _: (None, Kept("{}", T + 60)))
    records.close()
    subscribers = FirestoreDocuments(firestore.connect("documents_unavailable"))
    await subscribers.write("tenants", "acme", "{}", None, T + 60)
    subscribers.close()
    await asyncio.sleep(0)
    written: dict[str, set[str]] = {}
    for name, document in documents.documents.items():
        fields = document["fields"]
        assert isinstance(fields, dict)
        written.setdefault(name.split("/documents/")[1].split("/")[0], set()).update(fields)
    assert {name for name, fields in written.items() if "expire_at" in fields} == set(collections.EXPIRING)
    assert all(set(collections.UNINDEXED[name]) <= names for name, names in written.items())


async def test_no_index_of_the_way_that_goes_well_grows_at_one_end(
    ledger: FirestoreLedger, journal: FirestoreJournal, documents: MemoryStore
) -> None:
    """An index of values that only grow takes 500 writes a second. Sharded, a value has its shard before its time."""
    events = [
        replace(EVENT, id=sha256(bytes([number])).hexdigest(), receivedat=f"2026-09-21T14:13:{number}.000Z")
        for number in range(20, 60)
    ]
    for number, event in enumerate(events):
        await journal.record([EventEntry(event, (), T + number)])
        await settled(ledger, replace(DELIVERY, event=event), DONE._replace(now=T + number), T + number)
    for collection in (collections.LEDGER, collections.EVENTS):
        fields = [each["fields"] for name, each in documents.documents.items() if f"/documents/{collection}/" in name]
        assert all(isinstance(each, dict) for each in fields)
        names = {name for each in fields if isinstance(each, dict) for name in each}
        for name in names - set(collections.UNINDEXED[collection]):
            values = [str(each.get(name)) for each in fields if isinstance(each, dict)]
            assert len(set(values)) == 1 or values != sorted(values), f"{collection}.{name} grows"


async def test_rows_with_large_messages_are_read_a_few_at_a_time(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    """A hundred due at once, each with as much as travels without a blob, are more than one answer may hold."""
    message = b"x" * 200 * 1024
    for number in range(65):
        delivery = replace(DELIVERY, event=replace(EVENT, id=f"e{number}"))
        await settled(ledger, delivery, DUE, message=message)
    before = firestore.server.counts["batchGet"]
    rows = await ledger.due(T, 100)
    assert {len(row.message) for row in rows} == {len(message)}
    assert len(rows) == 65
    assert firestore.server.counts["batchGet"] - before == 3


async def test_a_dead_letter_that_has_no_place_is_temporary(firestore: EmulatedFirestore) -> None:
    journal = FirestoreJournal(firestore.connect(), None, Retention())
    with pytest.raises(Temporary, match="needs a bucket"):
        await journal.record([DeadLetter("d", "undeliverable", "", T, b"y" * 2_000_000, "events")])
