"""What Firestore costs: how many writes, reads and calls an event, a delivery and a sweep take."""

import asyncio
from contextlib import closing
from dataclasses import replace

import pytest

from deploy.gcp.costs import ENDPOINT_DELIVERY_BYTES, MESSAGE_BYTES
from deploy.history.firestore_journal import FirestoreJournalReader
from deploy.history.journal_view import EventQuery
from deploy.topology.estimate import (
    WRITES_A_MESSAGE,
    WRITES_AN_ENDPOINT_DELIVERY,
    Traffic,
    subscriber_reads,
)
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.firestore import TRIES
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.shards import SHARDS
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import to_json
from shared.ledger import Gathered, Settlement
from shared.push import parse_push
from tests.bench.usage import stored_bytes
from tests.contract.claims import DELIVERY, EVENT, T, claimed, settled
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
    monkeypatch.setattr("shared.cloud.ledger_writes.randbits", lambda bits: 7)
    written = []
    for is_read in (False, True):
        claim = await claimed(ledger)
        assert await ledger.settle(claim._replace(version="" if is_read else claim.version), settlement)
        [document] = documents.documents.values()
        written.append(document["fields"])
        documents.documents.clear()
    assert written[0] == written[1]


# What is much


async def test_a_search_by_text_looks_through_large_events(
    journal: FirestoreJournal, firestore: EmulatedFirestore
) -> None:
    """Sixty, each with as much as travels without a blob, are more than one answer may hold."""
    for number in range(60):
        event = replace(EVENT, id=f"e{number:02}", data={"name": f"Ada{number}", "text": "x" * 190_000})
        await journal.record([EventEntry(event, (), T)])
    store = firestore.connect("journal_unavailable")
    with closing(FirestoreJournalReader(store, None)) as reader:
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
    counts, written = firestore.server.counts, 2 + WRITES_A_MESSAGE + 3 * WRITES_AN_ENDPOINT_DELIVERY
    counts.clear()
    event = replace(PAID, id="c" * 32, data={"accountId": "acme", "note": "n" * 150})
    assert {each.outcome for each in await world.deliver(event)} == {"delivered"}
    its_own_state = 1
    assert counts["documents written"] == written
    assert counts["documents read"] == subscriber_reads(Traffic(1, endpoints=3)) + its_own_state
    counts.clear()
    await world.deliver(replace(event, id="b" * 32))
    assert (counts["documents written"], counts["documents read"]) == (written, 1)
    sizes = {name: stored_bytes(each) for name, each in documents.documents.items() if "c" * 32 in f"{name}{each}"}
    assert max(size for name, size in sizes.items() if "/ledger/" in name) == pytest.approx(
        ENDPOINT_DELIVERY_BYTES, rel=0.1
    )
    message = [size for name, size in sizes.items() if "/documents/message" in name]
    assert len(message) == WRITES_A_MESSAGE
    assert sum(message) == pytest.approx(MESSAGE_BYTES, rel=0.1)
    directory.close()
    await asyncio.sleep(0)
