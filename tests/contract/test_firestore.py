"""What is Firestore's own: contention, answers that are lost, faults, what it costs, and what a document can hold."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256

import pytest

from deploy.history.firestore_letters import LetterReader
from deploy.history.firestore_read import FirestoreJournalReader
from deploy.history.journal_view import DROPPED, EventQuery
from functions.transform.read_routes import read_program
from functions.transform.transform import Transformer
from shared.cloud.gcp import collections
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.firestore import TRIES, Firestore
from shared.cloud.gcp.firestore_values import Write
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.owners import FirestoreOwners
from shared.cloud.gcp.records import FirestoreRecords
from shared.cloud.retries import PASSING_CODES
from shared.cloud.shards import SHARDS
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journaling
from shared.jsontext import to_json
from shared.ledger import Busy, Claimed, Finished, Gathered, Settlement, Waiting
from shared.ports import Kept
from shared.push import parse_push
from shared.retention import Retention
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.notifier import FakeNotifier, push_of
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import CODES, Fault

T = 1_790_000_000.0
LEASE = 45.0
EVENT = Event("e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "a" * 64, {"name": "Ada"})
DELIVERY = Delivery(EVENT, "tell the list", "crm")
KEY = DELIVERY.id
DONE = Settlement(
    "delivered", T, attempt=AttemptEntry(KEY, "e1", "tell the list", "crm", 1, T, T, "delivered", "", "202")
)
DUE = Settlement(
    "retry_scheduled",
    T,
    "busy",
    AttemptEntry(KEY, "e1", "tell the list", "crm", 1, T, T, "retry_scheduled", "busy"),
    retry_at=T,
)
ROUTES = read_program(
    {"routes": [{"name": "all", "from": None, "types": None, "where": None, "steps": [], "to": ["crm"]}]}
).routes


@pytest.fixture
async def ledger(firestore: EmulatedFirestore) -> AsyncIterator[FirestoreLedger]:
    made = FirestoreLedger(firestore.connect())
    yield made
    made.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture
async def journal(firestore: EmulatedFirestore) -> AsyncIterator[FirestoreJournal]:
    made = FirestoreJournal(firestore.connect("journal_unavailable"), FakeBlobs(), Retention())
    yield made
    made.close()
    await asyncio.sleep(0)


@pytest.fixture
def documents(firestore: EmulatedFirestore) -> MemoryStore:
    store = firestore.server.store
    assert isinstance(store, MemoryStore)
    return store


async def claimed(ledger: FirestoreLedger) -> Claimed:
    claim = await ledger.claim(DELIVERY, b"{}", T, LEASE)
    assert isinstance(claim, Claimed)
    return claim


# What it costs


async def test_an_event_with_one_delivery_costs_three_writes_and_one_read(
    ledger: FirestoreLedger, journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    """Transform journals it, notify delivers it; the read is the destination's state, remembered for a while."""
    transform = Transformer(ROUTES, FakeBus(), FakeBlobs(), Journaling("transform", journal), FakeClock(T))
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


async def test_a_delivery_that_goes_well_costs_two_writes_and_no_read(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    assert await ledger.settle(await claimed(ledger), DONE)
    counts = firestore.server.counts
    assert (counts["commit"], counts["documents written"], counts["documents read"]) == (2, 2, 0)


async def test_an_event_costs_one_write_and_an_attempt_none(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    await journal.record([EventEntry(EVENT, (), T)])
    await journal.record([AttemptEntry("d1", "e1", "tell", "crm", 1, T, T, "delivered")])
    assert firestore.server.counts["documents written"] == 1
    assert firestore.server.counts["documents read"] == 0


async def test_a_body_that_goes_before_its_event_costs_a_write_more(firestore: EmulatedFirestore) -> None:
    journal = FirestoreJournal(firestore.connect("journal_unavailable"), FakeBlobs(), Retention(10, 5, 20))
    await journal.record([EventEntry(EVENT, (), T)])
    journal.close()
    await asyncio.sleep(0)
    assert firestore.server.counts["documents written"] == 2


async def test_what_comes_at_once_is_journaled_in_few_commits(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    entries = [EventEntry(replace(EVENT, id=f"e{number}"), (), T) for number in range(60)]
    await asyncio.gather(*(journal.record([entry]) for entry in entries))
    assert firestore.server.counts["commit"] == 1


async def test_a_sweep_that_finds_nothing_costs_a_read_for_each_shard(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    assert await ledger.due(T, 100, T - 600) == []
    assert firestore.server.counts["documents read"] == SHARDS


async def test_a_page_of_due_rows_is_moved_in_few_calls(ledger: FirestoreLedger, firestore: EmulatedFirestore) -> None:
    deliveries = [replace(DELIVERY, event=replace(EVENT, id=f"e{number}")) for number in range(200)]
    for delivery in deliveries:
        claim = await ledger.claim(delivery, b"{}", T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, DUE)
    moves = [(row.key, row.fence) for row in await ledger.due(T, 200)]
    before = Counter(firestore.server.counts)
    assert None not in await ledger.postpone_all([(*each, T + 600) for each in moves], T)
    calls = firestore.server.counts - before
    assert (calls["batchGet"], calls["commit"], calls["documents written"]) == (2, 2, 200)


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
        claim = await ledger.claim(delivery, b"{}", T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, DUE)
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
    monkeypatch.setattr("shared.cloud.gcp.ledger.randbits", lambda bits: 7)
    written = []
    for is_read in (False, True):
        claim = await claimed(ledger)
        assert await ledger.settle(claim._replace(version="" if is_read else claim.version), settlement)
        [document] = documents.documents.values()
        written.append(document["fields"])
        documents.documents.clear()
    assert written[0] == written[1]


# Contention and loss


async def test_of_many_that_write_one_row_at_once_each_is_told_what_became_of_it(ledger: FirestoreLedger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, DUE)
    fences = await asyncio.gather(*(ledger.postpone(KEY, claim.row.fence, T, T + 600) for _ in range(4)))
    assert sorted(fence is not None for fence in fences) == [False, False, False, True]


async def test_an_aborted_transaction_is_read_and_decided_anew(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
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


async def test_an_outcome_whose_confirmation_was_lost_is_recorded(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
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


async def test_what_changes_nothing_leaves_no_transaction_open(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    claim = await claimed(ledger)
    assert await ledger.postpone(KEY, claim.row.fence, T, T) is None
    assert firestore.server.open_transactions == 0


@pytest.mark.parametrize("status", sorted({*CODES} & PASSING_CODES))
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


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"])
async def test_every_other_rejection_is_temporary_and_says_which(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, status: str
) -> None:
    firestore.server.faults += [Fault("commit", status), Fault("runQuery", status)]
    with pytest.raises(Temporary, match=f"ledger_unavailable: Firestore answered {status} to commit"):
        await ledger.claim(DELIVERY, b"{}", T, LEASE)
    with pytest.raises(Temporary, match=f"Firestore answered {status} to runQuery"):
        await ledger.due(T, 10)


@pytest.mark.parametrize(
    ("status", "message"),
    [("PERMISSION_DENIED", "lacks a role such as roles/datastore.user"), ("NOT_FOUND", "there is no such database")],
)
async def test_a_fault_that_an_operator_can_fix_is_reported(
    ledger: FirestoreLedger, firestore: EmulatedFirestore, status: str, message: str
) -> None:
    firestore.server.faults.append(Fault("runQuery", status))
    with pytest.raises(Temporary, match=f"{status} to runQuery in projects/a-project/databases/hookchain-.*{message}"):
        await ledger.due(T, 10)


async def test_a_database_that_nothing_answers_for_is_temporary(firestore: EmulatedFirestore, free_port: int) -> None:
    ledger = FirestoreLedger(firestore.elsewhere(free_port))
    with pytest.raises(Temporary, match="Firestore did not answer: NotConnected"):
        await ledger.claim(DELIVERY, b"{}", T, LEASE)


# What an earlier version wrote


async def test_a_retry_that_an_earlier_version_scheduled_is_found_and_made(
    ledger: FirestoreLedger, documents: MemoryStore
) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, DUE)
    [document] = documents.documents.values()
    fields = document["fields"]
    assert isinstance(fields, dict)
    for name in ("due", "by_state", "by_destination_state", "attempts", "ended", "created"):
        fields.pop(name, None)
    row = json.loads(str(fields["row"]["stringValue"])) if isinstance(fields["row"], dict) else {}
    fields["row"] = {"stringValue": json.dumps({**row, "state": "retry_at"})}
    fields |= {"retry_at": {"doubleValue": T}, "created": {"integerValue": str(round(T * 1_000_000))}}
    assert await ledger.due(T, 10, T - 600) == []
    [row] = await ledger.due(T, 10)
    fence = await ledger.postpone(row.key, row.fence, T, T + 600)
    assert await ledger.due(T, 10) == []
    again = await ledger.claim(DELIVERY, b"{}", T, LEASE, fence)
    assert isinstance(again, Claimed)
    assert await ledger.settle(again, DONE)


async def test_what_an_earlier_version_holds_is_released(ledger: FirestoreLedger, documents: MemoryStore) -> None:
    assert await ledger.settle(await claimed(ledger), Settlement("held", T))
    [document] = documents.documents.values()
    fields = document["fields"]
    assert isinstance(fields, dict)
    fields["by_destination_state"] = {"stringValue": f"crm/disabled/{round(T * 1_000_000):016d}"}
    assert await ledger.release("crm", T) == 1


# What documents hold


async def test_a_document_has_a_group_only_where_its_delivery_is_in_one(
    ledger: FirestoreLedger, documents: MemoryStore
) -> None:
    await claimed(ledger)
    assert "group" not in str(documents.field("ledger", KEY, "row"))
    assert [row.group for row in await ledger.rows(10)] == [""]


async def test_only_finished_rows_expire(ledger: FirestoreLedger, documents: MemoryStore) -> None:
    claim = await claimed(ledger)
    [document] = documents.documents.values()
    assert "expire_at" not in str(document)
    assert await ledger.settle(claim, Settlement("dead_lettered", T))
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
    owners = FirestoreOwners(firestore.connect())
    await owners.owner("k", "e1", T, 60)
    owners.close()
    records = FirestoreRecords(firestore.connect("records_unavailable"))
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
        claim = await ledger.claim(replace(DELIVERY, event=event), b"{}", T + number, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, DONE._replace(now=T + number))
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
        claim = await ledger.claim(delivery, message, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, DUE)
    before = firestore.server.counts["batchGet"]
    rows = await ledger.due(T, 100)
    assert {len(row.message) for row in rows} == {len(message)}
    assert len(rows) == 65
    assert firestore.server.counts["batchGet"] - before == 3


async def test_a_change_of_state_does_not_send_the_message_again(
    ledger: FirestoreLedger, firestore: EmulatedFirestore
) -> None:
    claim = await ledger.claim(DELIVERY, b"x" * 100_000, T, LEASE)
    assert isinstance(claim, Claimed)
    before = firestore.server.counts["bytes received"]
    assert await ledger.settle(claim, DUE)
    assert firestore.server.counts["bytes received"] - before < 5_000


async def test_a_dead_letter_too_large_for_a_document_rests_in_a_blob(
    firestore: EmulatedFirestore, documents: MemoryStore
) -> None:
    blobs, message = FakeBlobs(), b"y" * 2_000_000
    journal = FirestoreJournal(firestore.connect(), blobs, Retention())
    await journal.record([DeadLetter("a/b", "undeliverable", "", T, message, "events")])
    journal.close()
    await asyncio.sleep(0)
    [(name, content)] = blobs.contents.items()
    assert content == message
    assert name.startswith("dead-letters/")


async def test_a_dead_letter_that_has_no_place_is_temporary(firestore: EmulatedFirestore) -> None:
    journal = FirestoreJournal(firestore.connect(), None, Retention())
    with pytest.raises(Temporary, match="needs a bucket"):
        await journal.record([DeadLetter("d", "undeliverable", "", T, b"y" * 2_000_000, "events")])


async def test_odd_ids_make_documents_of_their_own(journal: FirestoreJournal, documents: MemoryStore) -> None:
    ids = ["a/b", "..", "", "é", "x" * 3_000, "__no__", "e1:tell the list"]
    await journal.record([DeadLetter(each, "request_rejected", "", T, b"{}", "events") for each in ids])
    assert len(documents.documents) == len(ids)


async def test_a_delivery_that_waits_is_left_as_it_is(ledger: FirestoreLedger, firestore: EmulatedFirestore) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, Settlement("retry_scheduled", T, retry_at=T + 60))
    written = firestore.server.counts["documents written"]
    assert await ledger.claim(DELIVERY, b"{}", T, LEASE) == Waiting(T + 60)
    assert firestore.server.counts["documents written"] == written


# What is much


async def test_many_dead_letters_are_marked_over_few_connections(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    """A process may not have hundreds of them open."""
    ids = [f"d{number}" for number in range(300)]
    await journal.record([DeadLetter(each, "request_rejected", "", T, b"{}", "deliveries") for each in ids])
    store = firestore.connect("journal_unavailable")
    assert await LetterReader(store, None).mark(ids, DROPPED) == 300
    assert len(firestore.server.peers) < 30
    store.close()
    await asyncio.sleep(0)


async def test_whether_many_events_can_be_replayed_is_asked_in_few_calls_and_without_reading_them(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    events = [replace(EVENT, id=f"e{number}", data="x" * 10_000) for number in range(400)]
    await journal.record([EventEntry(event, (), T) for event in events[:200]])
    await journal.record([EventEntry(event, (), T) for event in events[200:399]])
    store = firestore.connect("journal_unavailable", max_answer_bytes=200_000)
    found = await FirestoreJournalReader(store, None).with_document([event.id for event in events])
    assert found == {event.id for event in events[:399]}
    assert firestore.server.counts["batchGet"] == 3
    store.close()
    await asyncio.sleep(0)


async def test_a_search_by_text_looks_through_large_events(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    """Sixty, each with as much as travels without a blob, are more than one answer may hold."""
    for number in range(60):
        event = replace(EVENT, id=f"e{number:02}", data={"name": f"Ada{number}", "text": "x" * 190_000})
        await journal.record([EventEntry(event, (), T)])
    store = firestore.connect("journal_unavailable")
    page = await FirestoreJournalReader(store, None).events(EventQuery(text="Ada7"))
    assert [event.id for event in page.events] == ["e07"]
    store.close()
    await asyncio.sleep(0)
