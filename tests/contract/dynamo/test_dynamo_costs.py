"""What DynamoDB costs: how many writes and reads an event, a delivery and a sweep take."""

import asyncio
from dataclasses import replace
from typing import Final

from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import DEAD_LETTERS, DELIVERIES, DELIVERIES_BY_ENDPOINT, EVENTS
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.shards import SHARDS
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import to_json
from shared.ledger import Busy, Claimed, Gathered
from shared.push import parse_push
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront
from tests.contract.claims import DELIVERY, EVENT, LEASE, MESSAGE, T, attempt, claimed, delivery, done
from tests.contract.dynamo.rows import a_letter, due_rows
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.notifier import FakeNotifier, push_of

ROUTES: Final = read_program(
    {"routes": [{"name": "all", "from": None, "types": None, "where": None, "steps": [], "to": ["crm"]}]}
).routes


async def test_an_event_with_one_delivery_costs_three_writes_and_one_read(
    ledger: DynamoLedger, journal: DynamoJournal, front: DynamoFront
) -> None:
    """Transform journals it, notify delivers it; the read is the destination's state, remembered for a while."""
    transform = Transformer(ROUTES, FakeBus(), FakeBlobs(), journal, FakeClock(T))
    await transform.take(parse_push(push_of(to_json(to_cloudevent(EVENT)).encode())))
    assert front.counts == {"UpdateItem": 1}
    notifier = FakeNotifier(ledger=ledger, clock=FakeClock(T))
    notifier.parts = replace(notifier.parts, journal=journal)
    assert (await notifier.take(DELIVERY)).outcome == "delivered"
    assert front.counts == {"UpdateItem": 1, "PutItem": 2, "GetItem": 1}
    await notifier.take(delivery(2))
    assert front.counts == {"UpdateItem": 1, "PutItem": 4, "GetItem": 1}


async def test_an_event_costs_one_write_and_an_attempt_none(journal: DynamoJournal, front: DynamoFront) -> None:
    await journal.record([EventEntry(EVENT, (), T)])
    await journal.record([attempt("delivered")])
    journal.note(attempt("delivered"))
    assert front.counts == {"UpdateItem": 1}


async def test_a_body_that_goes_before_its_event_costs_a_write_more(front: DynamoFront, dynamo: DynamoTables) -> None:
    journal = DynamoJournal(front.place, dynamo.prefix, FakeBlobs(), Retention(10, 5, 20))
    await journal.record([EventEntry(EVENT, (), T)])
    journal.close()
    await asyncio.sleep(0)
    assert front.counts == {"UpdateItem": 1, "PutItem": 1}


async def test_a_delivery_that_goes_well_is_in_two_indexes_and_its_outcome_changes_neither(
    ledger: DynamoLedger, dynamo: DynamoTables
) -> None:
    """Each change of an item in an index costs another write."""
    claim = await claimed(ledger)
    indexed = {name for index in DELIVERIES.indexes for name in (index.partition, index.sort, *index.projects)}
    [before] = dynamo.items(DELIVERIES)
    assert await ledger.settle(claim, done())
    [after] = dynamo.items(DELIVERIES)
    for item in (before, after):
        assert [each.name for each in DELIVERIES.indexes if {each.partition, each.sort} <= item.keys()] == [
            "listed",
            "by_event",
        ]
    assert {name: before.get(name) for name in indexed} == {name: after.get(name) for name in indexed}


async def test_a_second_pass_changes_no_index_of_events(journal: DynamoJournal, dynamo: DynamoTables) -> None:
    [index] = EVENTS.indexes
    seen = []
    for at in (T, T + 60):
        await journal.record([EventEntry(EVENT, (), at)])
        [item] = dynamo.items(EVENTS)
        seen.append([item[name] for name in (index.partition, index.sort, *index.projects)])
    assert seen[0] == seen[1]
    assert item["passes"] == 2


async def test_a_claim_that_is_not_given_costs_one_write_that_fails_and_no_read(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    await claimed(ledger)
    front.counts.clear()
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Busy()
    assert front.counts == {"PutItem": 1}


async def test_a_retry_costs_one_read_and_three_writes(ledger: DynamoLedger, front: DynamoFront) -> None:
    [(key, fence)] = await due_rows(ledger, 1)
    front.counts.clear()
    moved = await ledger.postpone(key, fence, T, T + 600)
    claim = await ledger.claim(delivery(0), MESSAGE, T, LEASE, moved)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, done())
    assert front.counts == {"UpdateItem": 1, "GetItem": 1, "PutItem": 2}


async def test_a_suspect_is_claimed_begun_and_settled_without_a_read(ledger: DynamoLedger, front: DynamoFront) -> None:
    await claimed(ledger)
    front.counts.clear()
    claim = await ledger.begin(await claimed(ledger, T + LEASE), T + LEASE)
    assert claim is not None
    assert await ledger.settle(claim, done(T + LEASE, number=2))
    assert front.counts == {"PutItem": 4}  # of which the first fails, and tells what is stored


async def test_a_sweep_that_finds_nothing_costs_a_query_for_each_shard(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    assert await ledger.due(T, 100, T - 600) == []
    assert front.counts == {"Query": SHARDS}


async def test_due_rows_are_moved_by_one_write_each_and_no_read(ledger: DynamoLedger, front: DynamoFront) -> None:
    moves = await due_rows(ledger, 30)
    front.counts.clear()
    assert None not in await ledger.postpone_all([(*each, T + 600) for each in moves], T)
    assert front.counts == {"UpdateItem": 30}


async def test_a_delivery_is_gathered_and_merged_by_one_write_each_and_no_read(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    for number in range(30):
        assert await ledger.gather(delivery(number), MESSAGE, "g1", "", T, T) == Gathered()
    assert front.counts == {"PutItem": 30}
    moves = [(row.key, row.fence) for row in await ledger.due(T, 30)]
    front.counts.clear()
    assert await ledger.merge_all(moves, T, "d1") == [True] * 30
    assert front.counts == {"UpdateItem": 30}


async def test_an_owner_costs_one_write_and_a_repeated_event_a_read_as_well(
    front: DynamoFront, dynamo: DynamoTables
) -> None:
    owners = DocumentOwners(DynamoDocuments(front.place, dynamo.prefix, "owners"))
    assert [await owners.owner("order 7", each, T, 60) for each in ("e1", "e2")] == ["e1", "e1"]
    owners.close()
    await asyncio.sleep(0)
    assert front.counts == {"PutItem": 2, "GetItem": 1}


async def test_keys_are_spread_over_all_shards(
    ledger: DynamoLedger, journal: DynamoJournal, dynamo: DynamoTables
) -> None:
    """One partition of an index takes 1,000 writes a second."""
    await due_rows(ledger, 60)
    for number in range(60):
        event = replace(EVENT, id=f"e{number}")
        await journal.record([EventEntry(event, (), T), replace(a_letter(f"d{number}"), event_id=event.id)])
    for table in (DELIVERIES, EVENTS, DEAD_LETTERS):
        items = dynamo.items(table)
        for index in {*table.indexes} - {DELIVERIES_BY_ENDPOINT}:  # whose partitions are endpoints
            partitions = {item[index.partition] for item in items if index.partition in item}
            assert len(partitions) >= SHARDS, f"{table.name}: {index.name} has the partitions {partitions}"
