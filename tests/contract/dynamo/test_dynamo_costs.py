"""What DynamoDB costs: how many writes and reads an event, a delivery and a sweep take."""

from dataclasses import replace
from typing import Final

from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import DEAD_LETTERS, DELIVERIES, DELIVERIES_BY_ENDPOINT, EVENTS
from shared.cloud.shards import SHARDS
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import to_json
from shared.ledger import Claimed, Gathered
from shared.push import parse_push
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront
from tests.contract.claims import DELIVERY, EVENT, LEASE, MESSAGE, T, claimed, delivery, done
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


async def test_a_retry_costs_one_read_and_three_writes(ledger: DynamoLedger, front: DynamoFront) -> None:
    [(key, fence)] = await due_rows(ledger, 1)
    front.counts.clear()
    moved = await ledger.postpone(key, fence, T, T + 600)
    claim = await ledger.claim(delivery(0), MESSAGE, T, LEASE, moved)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, done())
    assert front.counts == {"UpdateItem": 1, "GetItem": 1, "PutItem": 2}


async def test_a_sweep_that_finds_nothing_costs_a_query_for_each_shard(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    assert await ledger.due(T, 100, T - 600) == []
    assert front.counts == {"Query": SHARDS}


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
