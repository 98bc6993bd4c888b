"""What the contracts leave open on Firestore: costs, documents and faults."""

import asyncio
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

import pytest

from deploy.gcp.costs import ENDPOINT_DELIVERY_BYTES, MESSAGE_BYTES
from deploy.history.firestore_journal import FirestoreJournalReader
from deploy.history.journal_view import EventQuery
from deploy.topology import estimate
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.cloud.gcp import collections
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.firestore import TRIES, Firestore
from shared.cloud.gcp.firestore_values import Write
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.kept_by_key import DocumentOwners, DocumentRecords
from shared.cloud.shards import SHARDS
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry
from shared.jsontext import mapping_at, to_json
from shared.ledger import Busy, Claimed, Finished, Gathered, Settlement
from shared.push import parse_push
from shared.retention import Retention
from shared.store_ports import Kept
from tests.bench.usage import stored_bytes
from tests.contract.claims import DELIVERY, EVENT, KEY, LEASE, T, claimed, held, settled
from tests.contract.firestore.rows import DONE, DUE
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.fan_out import PAID, FakeWorld
from tests.fakes.notifier import FakeNotifier, push_of
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import Fault

ROUTES = read_program(
    {"routes": [{"name": "all", "from": None, "types": None, "where": None, "steps": [], "to": ["crm"]}]}
).routes


async def test_an_event_with_one_delivery_costs_three_writes_and_one_read(
    ledger: FirestoreLedger, journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    """Transform journals it, notify delivers it; the read is the destination's state, remembered for a while."""
    transform = Transformer(ROUTES, FakeBus(), FakeBlobs(), journal, FakeClock(T))
    await transform.take(parse_push(push_of(to_json(to_cloudevent(EVENT)).encode())))
    assert (firestore.server.counts["documents written"], firestore.server.counts["documents read"]) == (1, 0)
    notifier = FakeNotifier(ledger=ledger, clock=FakeClock(T))
    notifier.parts = replace(notifier.parts, journal=journal)
    assert (await notifier.take(DELIVERY)).outcome == "delivered"
    counts = firestore.server.counts
    assert (counts["documents written"], counts["documents read"]) == (3, 1)
    assert sum(counts[method] for method in ("commit", "batchGet", "rollback", "runQuery")) == 4
    await notifier.take(replace(DELIVERY, event=replace(EVENT, id="e2")))
    assert (counts["documents written"], counts["documents read"]) == (5, 1)


async def test_entries_at_once_share_a_commit(journal: FirestoreJournal, firestore: EmulatedFirestore) -> None:
    entries = [EventEntry(replace(EVENT, id=f"e{number}"), (), T) for number in range(60)]
    await asyncio.gather(*(journal.record([entry]) for entry in entries))
    assert firestore.server.counts["commit"] == 1


async def test_a_sweep_that_finds_nothing_costs_a_read_for_each_shard(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    assert await ledger.due(T, 100, T - 600) == []
    assert firestore.server.counts["documents read"] == SHARDS


async def test_a_delivery_is_gathered_by_one_write_and_a_group_is_merged_in_few_calls(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, documents: MemoryStore
) -> None:
    deliveries = [replace(DELIVERY, event=replace(EVENT, id=f"e{number}")) for number in range(101)]
    for delivery in deliveries:
        assert await ledger.gather(delivery, b"{}", "g1", "", T, T) == Gathered()
    counts = firestore.server.counts
    assert (counts["batchGet"], counts["commit"], counts["documents written"]) == (0, 101, 101)
    moves = [(row.key, row.fence) for row in await ledger.due(T, 200)]
    counts.clear()
    assert await ledger.merge_all(moves, T, "d1") == await ledger.merge_all(moves, T, "d1") == [True] * 101
    assert (counts["batchGet"], counts["commit"], counts["documents written"]) == (4, 2, 101)
    key = deliveries[0].id
    assert documents.field("ledger", key, "expire_at") == {"timestampValue": "2026-11-05T14:13:20.000Z"}
    assert "bytesValue" not in str(documents.field("ledger", key, "message"))
    assert "due" not in str(documents.documents)


async def test_a_row_that_others_keep_writing_holds_up_no_other_row_of_its_transaction(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    moves = []
    for number in range(3):
        delivery = replace(DELIVERY, event=replace(EVENT, id=f"e{number}"))
        claim = await settled(ledger, delivery, DUE)
        moves.append((delivery.id, claim.row.fence))
    firestore.server.faults += [Fault("commit", "ABORTED")] * TRIES
    assert None not in await ledger.postpone_all([(*each, T + 600) for each in moves], T)
    assert await ledger.due(T, 10) == []


@pytest.mark.parametrize(
    "settlement",
    [
        Settlement("delivered", T, attempt=DONE.attempt),
        Settlement("dead_lettered", T, "gone", DONE.attempt),
        Settlement("retry_scheduled", T, "busy", DUE.attempt, T + 5),
        Settlement("retry_scheduled", T, "paused", retry_at=T + 5),
        Settlement("held", T, "verify the sender"),
    ],
)
async def test_an_outcome_without_a_read_writes_what_a_transaction_writes(
    ledger: FirestoreLedger, documents: MemoryStore, settlement: Settlement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.ledger_writes.randbits", lambda bits: 7)
    written = []
    for is_read in (False, True):
        claim = await claimed(ledger)
        assert await ledger.settle(claim._replace(version="" if is_read else claim.version), settlement)
        [document] = documents.documents.values()
        written.append(document["fields"])
        documents.documents.clear()
    assert written[0] == written[1]


# What is much


async def test_a_search_by_text_reads_large_events(journal: FirestoreJournal, firestore: EmulatedFirestore) -> None:
    """Sixty, each with as much as travels without a blob, are more than one answer may hold."""
    for number in range(60):
        event = replace(EVENT, id=f"e{number:02}", data={"name": f"Ada{number}", "text": "x" * 190_000})
        await journal.record([EventEntry(event, (), T)])
    store = firestore.connect("journal_unavailable")
    with closing(FirestoreJournalReader(store, FakeBlobs())) as reader:
        page = reader.events(EventQuery(text="Ada7"))
    assert [event.id for event in page.events] == ["e07"]


async def test_an_event_for_subscribers_costs_two_writes_for_the_tenant_and_two_for_each_endpoint(
    ledger: FirestoreLedger, documents: MemoryStore, firestore: EmulatedFirestore
) -> None:
    """Beside those of every delivery. The tenant alone is read while its endpoints and their states are known."""
    world, directory = FakeWorld(), FirestoreDocuments(firestore.connect("documents_unavailable"))
    world.start_on(directory, ledger)
    await world.tenant()
    for number in (1, 2, 3):
        await world.endpoint(number)
    counts, written = firestore.server.counts, 2 + estimate.WRITES_A_MESSAGE + 3 * estimate.WRITES_AN_ENDPOINT_DELIVERY
    counts.clear()
    event = replace(PAID, id="c" * 32, data={"accountId": "acme", "note": "n" * 150})
    assert {each.outcome for each in await world.deliver(event)} == {"delivered"}
    its_own_state = 1
    assert counts["documents written"] == written
    assert counts["documents read"] == estimate.subscriber_reads(estimate.Traffic(1, endpoints=3)) + its_own_state
    counts.clear()
    await world.deliver(replace(event, id="b" * 32))
    assert (counts["documents written"], counts["documents read"]) == (written, 1)
    sizes = {name: stored_bytes(each) for name, each in documents.documents.items() if "c" * 32 in f"{name}{each}"}
    assert max(size for name, size in sizes.items() if "/ledger/" in name) == pytest.approx(
        ENDPOINT_DELIVERY_BYTES, rel=0.1
    )
    message = [size for name, size in sizes.items() if "/documents/message" in name]
    assert len(message) == estimate.WRITES_A_MESSAGE
    assert sum(message) == pytest.approx(MESSAGE_BYTES, rel=0.1)
    directory.close()
    await asyncio.sleep(0)


# Documents

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
        fields = mapping_at(document["fields"])
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


# Faults


async def test_an_aborted_transaction_is_decided_anew(ledger: FirestoreLedger, firestore: EmulatedFirestore) -> None:
    claim = await claimed(ledger)
    firestore.server.faults += [Fault("commit", "ABORTED"), Fault("commit", "ABORTED")]
    assert await ledger.give_back(claim, T)
    assert firestore.server.counts["batchGet"] == 3


async def test_a_document_that_another_made_meanwhile_is_read_and_decided_anew(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    firestore.server.faults.append(Fault("commit", "ALREADY_EXISTS"))
    assert isinstance(await ledger.claim(DELIVERY, b"{}", T, LEASE, due_fence=7), Claimed)


async def test_contention_without_an_end_is_temporary_after_a_few_tries(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    claim = await claimed(ledger)
    firestore.server.faults += [Fault("commit", "ABORTED")] * TRIES
    with pytest.raises(Temporary, match="others kept writing ledger/"):
        await ledger.give_back(claim, T)
    assert await ledger.give_back(claim, T)


async def test_a_claim_whose_confirmation_was_lost_is_busy_until_its_lease_is_over(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    firestore.server.faults.append(Fault("commit"))
    with pytest.raises(Temporary, match="did not answer"):
        await ledger.claim(DELIVERY, b"{}", T, LEASE)
    assert await ledger.claim(DELIVERY, b"{}", T, LEASE) == Busy()
    assert isinstance(await ledger.claim(DELIVERY, b"{}", T + LEASE, LEASE), Claimed)


async def test_a_claim_that_was_rejected_after_it_was_written_is_told_that_it_is_its_own(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is repeated where Firestore answers that it is unavailable, though it has written."""
    write_if = Firestore.write_if

    async def write_twice(self: Firestore, write: Write) -> str | None:
        await write_if(self, write)
        return await write_if(self, write)

    monkeypatch.setattr(Firestore, "write_if", write_twice)
    claim = await claimed(ledger)
    assert claim.row.attempt_number == 1
    assert firestore.server.open_transactions == 0
    assert await ledger.claim(DELIVERY, b"{}", T, LEASE) == Busy()
    assert await ledger.settle(claim, DONE)
    assert await ledger.claim(DELIVERY, b"{}", T, LEASE) == Finished()


async def test_an_outcome_with_a_lost_answer_is_recorded(ledger: FirestoreLedger, firestore: EmulatedFirestore) -> None:
    claim = await claimed(ledger)
    firestore.server.faults.append(Fault("commit"))
    assert await ledger.settle(claim, DONE)
    assert firestore.server.faults == []
    [row] = await ledger.rows(10, event_id="e1")
    assert (row.state, len(row.attempts)) == ("delivered", 1)


async def test_an_outcome_that_finds_another_version_is_decided_by_what_is_stored(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    late = await claimed(ledger)
    current = await ledger.claim(DELIVERY, b"{}", T + LEASE, LEASE)
    assert isinstance(current, Claimed)
    assert not await ledger.settle(late, DONE)
    assert firestore.server.open_transactions == 0
    assert await ledger.settle(current, DUE)
    assert not await ledger.settle(late, DONE)
    [row] = await ledger.rows(10, event_id="e1")
    assert (row.state, [each.outcome for each in row.attempts]) == ("retry_scheduled", ["unknown", "retry_scheduled"])


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
async def test_an_outcome_is_noted_though_firestore_rejects_for_a_moment(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, status: str
) -> None:
    """One that is not noted is delivered once more."""
    claim = await claimed(ledger)
    firestore.server.faults += [Fault("commit", status)] * 2
    assert await ledger.settle(claim, DONE)
    assert firestore.server.faults == []
    assert await ledger.claim(DELIVERY, b"{}", T, LEASE) == Finished()


async def test_what_firestore_goes_on_refusing_is_temporary_after_a_few_tries(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    claim = await claimed(ledger)
    firestore.server.faults += [Fault("commit", "UNAVAILABLE")] * TRIES
    with pytest.raises(Temporary, match="Firestore answered UNAVAILABLE to commit"):
        await ledger.settle(claim, DONE)
    assert await ledger.settle(claim, DONE)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("FAILED_PRECONDITION", ""),
        ("PERMISSION_DENIED", "lacks a role such as roles/datastore.user"),
        ("NOT_FOUND", "there is no such database"),
    ],
)
async def test_every_other_rejection_is_temporary_and_says_which(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, status: str, message: str
) -> None:
    firestore.server.faults += [Fault("commit", status), Fault("runQuery", status)]
    with pytest.raises(Temporary, match=f"ledger_unavailable: Firestore answered {status} to commit"):
        await claimed(ledger)
    with pytest.raises(Temporary, match=f"{status} to runQuery in projects/a-project/databases/hookchain-.*{message}"):
        await ledger.due(T, 10)


async def test_a_database_that_nothing_answers_for_is_temporary(firestore: EmulatedFirestore, free_port: int) -> None:
    ledger = FirestoreLedger(firestore.elsewhere(free_port))
    with pytest.raises(Temporary, match="Firestore did not answer: NotConnected"):
        await ledger.claim(DELIVERY, b"{}", T, LEASE)
