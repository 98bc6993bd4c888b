"""What is DynamoDB's own: contention, answers that are lost, faults, what it costs, and what an item can hold."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final

import pytest

from deploy.amazon.api import AwsApi
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import StackTarget
from deploy.history import dynamo_read
from deploy.history.aws import open_aws_state
from deploy.history.dynamo_read import DynamoJournalReader
from deploy.history.journal_view import EventQuery
from functions.transform.read_routes import read_program
from functions.transform.transform import Transformer
from shared import ledger_rules as rules
from shared.cloud.aws import tables
from shared.cloud.aws.client import PASSING_ERRORS
from shared.cloud.aws.dynamo import TRIES, Dynamo
from shared.cloud.aws.dynamo_values import MAX_ITEM_BYTES, from_item, to_item
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.ledger_items import VERSION, item_of, row_of
from shared.cloud.aws.ledger_lists import ROWS_AT_ONCE
from shared.cloud.aws.owners import DynamoOwners
from shared.cloud.aws.records import DynamoRecords
from shared.cloud.aws.tables import BODIES, DEAD_LETTERS, DELIVERIES, DELIVERIES_BY_ENDPOINT, EVENTS, EXPIRES_AT
from shared.cloud.shards import SHARDS
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.http_client import MAX_ANSWER_BYTES
from shared.journal import DeadLetter, EventEntry, Journaling
from shared.jsontext import JsonObject, to_json
from shared.ledger import Busy, Claimed, Finished, Gathered, LedgerRow, Settlement, Waiting
from shared.push import parse_push
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront, Fault, dynamo_front
from tests.contract.claims import DELIVERY, EVENT, KEY, LEASE, MESSAGE, T, attempt, delivery, done, failed, held, later
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.notifier import FakeNotifier, push_of

ROUTES: Final = read_program(
    {"routes": [{"name": "all", "from": None, "types": None, "where": None, "steps": [], "to": ["crm"]}]}
).routes
KEEP: Final = rules.KEEP_SECONDS
READS: Final = ("GetItem", "BatchGetItem", "Query", "Scan")


@pytest.fixture
def front(dynamo: DynamoTables) -> Iterator[DynamoFront]:
    with dynamo_front(dynamo.place) as front:
        yield front
    assert front.faults == []


@pytest.fixture
async def ledger(front: DynamoFront, dynamo: DynamoTables) -> AsyncIterator[DynamoLedger]:
    made = DynamoLedger(front.place, dynamo.prefix)
    yield made
    made.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture
async def journal(front: DynamoFront, dynamo: DynamoTables) -> AsyncIterator[DynamoJournal]:
    made = DynamoJournal(front.place, dynamo.prefix, FakeBlobs(), Retention())
    yield made
    made.close()
    await asyncio.sleep(0)


async def claimed(ledger: DynamoLedger, now: float = T, due_fence: int | None = None) -> Claimed:
    claim = await ledger.claim(DELIVERY, MESSAGE, now, LEASE, due_fence)
    assert isinstance(claim, Claimed)
    return claim


async def due_rows(ledger: DynamoLedger, count: int) -> list[tuple[str, int]]:
    moves = []
    for number in range(count):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T))
        moves.append((claim.row.key, claim.row.fence))
    return moves


# What it costs


async def test_an_event_with_one_delivery_costs_three_writes_and_one_read(
    ledger: DynamoLedger, journal: DynamoJournal, front: DynamoFront
) -> None:
    """Transform journals it, notify delivers it; the read is the destination's state, remembered for a while."""
    transform = Transformer(ROUTES, FakeBus(), FakeBlobs(), Journaling("transform", journal), FakeClock(T))
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


async def test_an_owner_costs_one_write_whoever_it_is(front: DynamoFront, dynamo: DynamoTables) -> None:
    owners = DynamoOwners(front.place, dynamo.prefix)
    assert [await owners.owner("order 7", each, T, 60) for each in ("e1", "e2")] == ["e1", "e1"]
    owners.close()
    await asyncio.sleep(0)
    assert front.counts == {"PutItem": 2}


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


# Answers that are lost


LOST: Final = [Fault("PutItem"), Fault("PutItem", "InternalServerError", is_done=True)]


@pytest.mark.parametrize("fault", LOST)
async def test_a_claim_whose_answer_was_lost_is_told_that_it_is_its_own(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    await ledger.destination_state("crm")  # over a connection that is kept
    front.faults.append(fault)
    claim = await claimed(ledger)
    assert claim.row.attempt_number == 1
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Busy()
    front.counts.clear()
    assert await ledger.settle(claim, done())
    assert front.counts == {"PutItem": 1}
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Finished()


@pytest.mark.parametrize("fault", LOST)
async def test_an_outcome_whose_answer_was_lost_is_recorded_once(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    for settlement in (later(T), done()):
        due_fence = None
        if rows := await ledger.due(T, 1):
            due_fence = await ledger.postpone(KEY, rows[0].fence, T, T + 600)
        claim = await claimed(ledger, due_fence=due_fence)
        front.faults.append(fault)
        assert await ledger.settle(claim, settlement)
    [row] = await ledger.rows(10, event_id="e1")
    assert (row.state, [each.outcome for each in row.attempts]) == ("delivered", ["retry_scheduled", "delivered"])


@pytest.mark.parametrize("fault", LOST)
async def test_a_suspect_whose_begin_was_lost_has_begun_once(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    await claimed(ledger)
    suspect = await claimed(ledger, T + LEASE)
    front.faults.append(fault)
    begun = await ledger.begin(suspect, T + LEASE)
    assert begun is not None
    assert begun.row.attempt_number == 2
    assert await ledger.settle(begun, done(T + LEASE, number=2))


@pytest.mark.parametrize("fault", [replace(each, action="UpdateItem") for each in LOST])
async def test_a_row_whose_postponement_was_lost_is_postponed_once_and_by_this_sweep(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    [(key, fence)] = await due_rows(ledger, 1)
    front.faults.append(fault)
    assert await ledger.postpone(key, fence, T, T + 600) == fence + 1
    assert await ledger.postpone(key, fence, T, T + 600) is None  # as another sweep would, at the same moment


@pytest.mark.parametrize("fault", [replace(each, action="UpdateItem") for each in LOST])
async def test_a_row_whose_merge_was_lost_is_merged_once(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    moves = await due_rows(ledger, 1)
    front.faults.append(fault)
    assert await ledger.merge_all(moves, T, "d1") == [True]
    assert await ledger.merge_all(moves, T, "d2") == [False]


async def test_a_claim_over_a_new_connection_whose_answer_was_lost_is_busy_until_its_lease_is_over(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    front.faults.append(Fault("PutItem"))
    with pytest.raises(Temporary, match="DynamoDB did not answer"):
        await claimed(ledger)
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Busy()
    assert isinstance(await ledger.claim(DELIVERY, MESSAGE, T + LEASE, LEASE), Claimed)


async def test_an_owner_whose_answer_was_lost_is_told_that_it_is_one(front: DynamoFront, dynamo: DynamoTables) -> None:
    owners = DynamoOwners(front.place, dynamo.prefix)
    front.faults.append(LOST[1])
    assert await owners.owner("order 7", "e1", T, 60) == "e1"
    owners.close()
    await asyncio.sleep(0)


# Contention, throttling and other faults


async def test_an_outcome_that_finds_another_version_is_decided_by_what_is_stored(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    late = await claimed(ledger)
    current = await claimed(ledger, T + LEASE)
    front.counts.clear()
    assert not await ledger.settle(late, done())
    assert front.counts == {"PutItem": 1}
    assert await ledger.settle(current, later(T))
    [row] = await ledger.rows(10, event_id="e1")
    assert (row.state, [each.outcome for each in row.attempts]) == ("retry_scheduled", ["unknown", "retry_scheduled"])


async def test_contention_without_an_end_is_temporary_after_a_few_tries(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    front.faults += [Fault("PutItem", "ConditionalCheckFailedException")] * TRIES
    with pytest.raises(Temporary, match="others kept writing delivery"):
        await claimed(ledger)
    assert await claimed(ledger)


async def test_of_many_that_release_a_destination_each_row_is_released_once(ledger: DynamoLedger) -> None:
    for number in range(5):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, held())
    assert sum(await asyncio.gather(*(ledger.release("crm", T) for _ in range(3)))) == 5
    assert len(await ledger.due(T, 10)) == 5


@pytest.mark.parametrize("error", sorted(PASSING_ERRORS - {"TransactionInProgressException"}))
async def test_an_outcome_is_recorded_though_dynamodb_rejects_for_a_moment(
    ledger: DynamoLedger, front: DynamoFront, error: str
) -> None:
    """One that is not recorded is delivered once more."""
    claim = await claimed(ledger)
    front.faults += [Fault("PutItem", error)] * 2
    assert await ledger.settle(claim, done())
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Finished()


async def test_what_dynamodb_goes_on_rejecting_is_temporary_after_a_few_tries(
    ledger: DynamoLedger, front: DynamoFront
) -> None:
    claim = await claimed(ledger)
    front.faults += [Fault("PutItem", "ThrottlingException")] * 5
    with pytest.raises(Temporary, match="ledger_unavailable: DynamoDB answered ThrottlingException to PutItem"):
        await ledger.settle(claim, done())
    assert await ledger.settle(claim, done())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("AccessDeniedException", "the function's role lacks a permission there"),
        ("ResourceNotFoundException", "there is no such table; a deployment makes it"),
        ("ValidationException", "ValidationException to PutItem of table test-"),
    ],
)
async def test_every_other_rejection_is_temporary_and_says_which(
    ledger: DynamoLedger, front: DynamoFront, error: str, message: str
) -> None:
    front.faults.append(Fault("PutItem", error))
    with pytest.raises(Temporary, match=f"DynamoDB answered {error} to PutItem of table") as raised:
        await claimed(ledger)
    assert message in raised.value.detail


async def test_a_table_that_nothing_answers_for_is_temporary(dynamo: DynamoTables, free_port: int) -> None:
    elsewhere = dynamo.place._replace(endpoint=f"http://127.0.0.1:{free_port}")
    with pytest.raises(Temporary, match="DynamoDB did not answer: NotConnected"):
        await DynamoLedger(elsewhere, dynamo.prefix).claim(DELIVERY, MESSAGE, T, LEASE)


async def test_what_a_read_of_many_left_out_is_read_again(ledger: DynamoLedger, front: DynamoFront) -> None:
    await due_rows(ledger, 9)
    front.faults += [Fault("BatchGetItem", leaves=4), Fault("BatchGetItem", leaves=0), Fault("BatchGetItem", leaves=2)]
    assert len(await ledger.due(T, 10)) == 9
    front.faults += [Fault("BatchGetItem", leaves=0)] * TRIES
    with pytest.raises(Temporary, match="kept answering nothing to BatchGetItem"):
        await ledger.due(T, 10)


async def test_a_query_goes_on_where_an_answer_ended_early(ledger: DynamoLedger, front: DynamoFront) -> None:
    """An answer holds at most a megabyte."""
    await due_rows(ledger, 30)
    front.faults += [Fault("Query", leaves=1)] * 12
    assert len(await ledger.due(T, 40)) == 30
    for number in range(5):
        await ledger.claim(Delivery(EVENT, f"route {number}", "crm"), MESSAGE, T, LEASE)
    front.faults += [Fault("Query", leaves=2)] * 2
    assert len(await ledger.rows(9, event_id="e1")) == 6


# Items that expired, and are still there


async def test_a_delivery_that_expired_and_is_still_there_is_as_good_as_gone(
    ledger: DynamoLedger, front: DynamoFront, dynamo: DynamoTables
) -> None:
    assert await ledger.settle(await claimed(ledger), failed())
    assert await ledger.claim(DELIVERY, MESSAGE, T + KEEP - 1, LEASE) == Finished()
    assert await ledger.reopen(KEY, T + KEEP) is None
    front.counts.clear()
    again = await claimed(ledger, T + KEEP)
    assert front.counts == {"PutItem": 1}
    assert (again.row.attempt_number, again.row.created_at, again.row.attempts) == (1, T + KEEP, ())
    [item] = dynamo.items(DELIVERIES)
    assert EXPIRES_AT not in item


async def test_a_message_of_the_sweep_for_what_expired_begins_anew(ledger: DynamoLedger) -> None:
    assert await ledger.settle(await claimed(ledger), failed())
    again = await claimed(ledger, T + KEEP, due_fence=7)
    assert (again.row.attempt_number, again.row.generation) == (1, 0)


async def test_only_finished_deliveries_expire(ledger: DynamoLedger, dynamo: DynamoTables) -> None:
    claim = await claimed(ledger)
    [item] = dynamo.items(DELIVERIES)
    assert EXPIRES_AT not in item
    assert await ledger.settle(claim, failed())
    [item] = dynamo.items(DELIVERIES)
    assert item[EXPIRES_AT] == T + KEEP
    assert await ledger.reopen(KEY, T) == 1
    [item] = dynamo.items(DELIVERIES)
    assert EXPIRES_AT not in item


async def test_each_entry_of_the_journal_says_when_it_expires(dynamo: DynamoTables) -> None:
    journal = DynamoJournal(dynamo.place, dynamo.prefix, None, Retention(10, 5, 20))
    await journal.record([EventEntry(EVENT, (), T), a_letter("d1")])
    journal.close()
    await asyncio.sleep(0)
    for table, expires_at in ((EVENTS, T + 10), (BODIES, T + 5), (DEAD_LETTERS, T + 20)):
        assert [item[EXPIRES_AT] for item in dynamo.items(table)] == [expires_at]


# What items hold


def a_letter(letter_id: str, message: bytes = b"{}") -> DeadLetter:
    return DeadLetter(letter_id, "request_rejected", "", T, message, "events", "e1")


def row_in(state: str) -> LedgerRow:
    row = rules.new_row(DELIVERY, KEY, MESSAGE, T)
    _, attempted = rules.claim(row, EVENT.payloadhash, MESSAGE, T, LEASE, None, 2**53 - 1)
    settled = {
        "claimed": row,
        "attempted": attempted,
        "delivered": rules.settle(attempted, 2**53 - 1, done(T + 0.25)),
        "dead_lettered": rules.settle(attempted, 2**53 - 1, failed(T, "gone", "410")),
        "held": rules.settle(attempted, 2**53 - 1, held(T, "verify the sender")),
        "retry_scheduled": rules.settle(attempted, 2**53 - 1, later(T + 5)),
    }[state]
    assert settled is not None
    return settled


@pytest.mark.parametrize("state", ["claimed", "attempted", "delivered", "dead_lettered", "held", "retry_scheduled"])
def test_a_row_is_read_as_it_was_written(state: str) -> None:
    row = row_in(state)._replace(replays=("r1", "r2"), crashes=1, unknown_count=2, generation=3)
    assert row_of(item_of(row, "v")) == row


def test_an_item_leaves_out_what_is_as_it_was_at_first() -> None:
    item = item_of(row_in("attempted"), "v")
    assert (
        not {"reason", "answer", "generation", "crashes", "unknown_count", "group", "replays", "attempts"} & item.keys()
    )


async def test_a_postponed_row_is_what_the_rule_makes_of_it(ledger: DynamoLedger, dynamo: DynamoTables) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, later(T))
    [before] = await ledger.rows(1, event_id="e1")
    await ledger.postpone(KEY, before.fence, T + 1, T + 600)
    expected = rules.postpone(before, before.fence, T + 1, T + 600)
    assert expected is not None
    [item] = dynamo.items(DELIVERIES)
    assert {**item, VERSION: ""} == {**item_of(expected, ""), VERSION: ""}


async def test_a_merged_row_is_what_the_rule_makes_of_it(ledger: DynamoLedger, dynamo: DynamoTables) -> None:
    await claimed(ledger)
    assert await ledger.gather(DELIVERY, MESSAGE, "g1", "waits", T + LEASE, T + LEASE) == Gathered()
    [before] = await ledger.rows(1, event_id="e1")
    assert await ledger.merge_all([(KEY, before.fence)], T + 60, "d1") == [True]
    expected = rules.merge(before, before.fence, T + 60, "d1")
    assert expected is not None
    [item] = dynamo.items(DELIVERIES)
    assert {**item, VERSION: ""} == {**item_of(expected, ""), VERSION: ""}


async def test_due_rows_and_records_are_read_strongly_consistent(
    ledger: DynamoLedger, front: DynamoFront, dynamo: DynamoTables
) -> None:
    """Whoever closes a group reads its record and then its members: these must be as they were then, or later."""
    await due_rows(ledger, 2)
    front.requests.clear()
    assert len(await ledger.due(T, 10)) == 2
    [reads] = [each["RequestItems"] for each in front.requests if "RequestItems" in each]
    assert isinstance(reads, dict)
    assert [isinstance(each, dict) and each["ConsistentRead"] for each in reads.values()] == [True]
    front.requests.clear()
    records = DynamoRecords(front.place, dynamo.prefix)
    assert await records.read("group:a") is None
    assert [each["ConsistentRead"] for each in front.requests] == [True]
    records.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("settlement", "is_found"),
    [
        (done(T + 1), False),
        (Settlement("delivered", T + 60, attempt=attempt("delivered", at=T + 60)), True),
        (failed(T + 1), True),
        (later(T + 5), True),
    ],
)
async def test_a_last_attempt_is_found_by_its_end_unless_it_was_the_first_and_went_well_at_once(
    ledger: DynamoLedger, dynamo: DynamoTables, settlement: Settlement, is_found: bool
) -> None:
    assert await ledger.settle(await claimed(ledger), settlement)
    [item] = dynamo.items(DELIVERIES)
    assert ("ended_at" in item) == is_found


def test_a_row_with_the_longest_message_and_many_long_attempts_fits_into_an_item() -> None:
    long = attempt("retry_scheduled", reason="\x01" * 500, answer="é" * 500)
    row = row_in("held")._replace(message=b"x" * 220_000, attempts=(long,) * rules.MAX_ATTEMPTS)
    item = item_of(row, "v")
    contents = [value if isinstance(value, bytes) else str(value).encode() for value in item.values()]
    assert sum(map(len, [*item, *contents])) < MAX_ITEM_BYTES
    kept = row_of(item).attempts
    assert len(kept) > 10
    assert row.attempts[-len(kept) :] == kept


async def test_rows_with_large_messages_are_read_a_few_at_a_time(ledger: DynamoLedger, front: DynamoFront) -> None:
    """A hundred due at once, each with as much as travels without a blob, are more than one answer may hold."""
    message = b"x" * 200 * 1024
    for number in range(40):
        claim = await ledger.claim(delivery(number), message, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T))
    rows = await ledger.due(T, 100)
    assert {len(row.message) for row in rows} == {len(message)}
    assert (len(rows), front.counts["BatchGetItem"]) == (40, 3)


def test_the_largest_rows_that_are_read_at_once_fit_into_an_answer() -> None:
    """Their attempts too: a sweep whose answer was too large would be so again, and nothing would be retried."""
    quoting = attempt("retry_scheduled", reason='"' * 500, answer='"' * 500)
    row = row_in("held")._replace(message=b"x" * 206_000, attempts=(quoting,) * rules.MAX_ATTEMPTS)
    written = len(to_json(to_item(item_of(row, "v"))))
    without_message = len(to_json(to_item({**item_of(row, "v"), "message": None})))
    assert ROWS_AT_ONCE * written < MAX_ANSWER_BYTES
    assert dynamo_read.ROWS_AT_ONCE * without_message < MAX_ANSWER_BYTES


async def test_a_delivery_that_waits_is_left_as_it_is(ledger: DynamoLedger, dynamo: DynamoTables) -> None:
    assert await ledger.settle(await claimed(ledger), later(T + 60))
    before = dynamo.items(DELIVERIES)
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Waiting(T + 60)
    assert dynamo.items(DELIVERIES) == before


async def test_deliveries_to_one_destination_are_found_among_many_others(ledger: DynamoLedger) -> None:
    for number in range(120):
        destination = "rare" if number in (3, 70) else "crm"
        await ledger.claim(delivery(number, destination), MESSAGE, T + number, LEASE)
    assert [row.event_id for row in await ledger.rows(2, destination="rare")] == ["e70", "e3"]
    assert [row.event_id for row in await ledger.rows(9, destination="rare", state="attempted")] == ["e70", "e3"]


async def test_a_dead_letter_too_large_for_an_item_rests_in_a_blob(dynamo: DynamoTables) -> None:
    blobs, message = FakeBlobs(), b"y" * 2_000_000
    journal = DynamoJournal(dynamo.place, dynamo.prefix, blobs, Retention())
    await journal.record([a_letter("../a", message)])
    journal.close()
    await asyncio.sleep(0)
    [(name, content)] = blobs.contents.items()
    assert content == message
    assert dynamo.items(DEAD_LETTERS)[0]["message_blob"] == name


async def test_a_dead_letter_that_has_no_place_is_temporary(dynamo: DynamoTables) -> None:
    journal = DynamoJournal(dynamo.place, dynamo.prefix, None, Retention())
    with pytest.raises(Temporary, match="needs a bucket"):
        await journal.record([a_letter("d", b"y" * 2_000_000)])


async def test_odd_ids_make_items_of_their_own(journal: DynamoJournal, dynamo: DynamoTables) -> None:
    ids = ["a/b", "..", "", "é", "x" * 3_000, "e1:tell the list"]
    for each in ids:
        await journal.record([a_letter(each)])
    assert len(dynamo.items(DEAD_LETTERS)) == len(ids)


# What a reader finds


@pytest.fixture
async def reader(front: DynamoFront, dynamo: DynamoTables) -> AsyncIterator[DynamoJournalReader]:
    store = Dynamo(front.place, dynamo.prefix, "journal_unavailable")
    yield DynamoJournalReader(store, None, lambda: T + 60)
    store.close()
    await asyncio.sleep(0)


async def test_what_expired_and_is_still_there_is_shown_nowhere(
    front: DynamoFront, dynamo: DynamoTables, reader: DynamoJournalReader
) -> None:
    journal = DynamoJournal(front.place, dynamo.prefix, None, Retention(60, 30, 60))
    await journal.record([EventEntry(EVENT, (), T), a_letter("d1")])
    journal.close()
    assert [len(dynamo.items(table)) for table in (EVENTS, BODIES, DEAD_LETTERS)] == [1, 1, 1]
    assert (await reader.events(EventQuery())).events == ()
    assert await reader.event("e1") is None
    assert await reader.with_document(["e1"]) == frozenset()
    assert await reader.stored_document("e1") is None
    assert await reader.letters.newest(9, None, None) == ()
    assert await reader.letters.one("d1") is None


async def test_a_body_that_expired_before_its_event_is_gone(
    front: DynamoFront, dynamo: DynamoTables, reader: DynamoJournalReader
) -> None:
    journal = DynamoJournal(front.place, dynamo.prefix, None, Retention(90, 60, 60))
    await journal.record([EventEntry(EVENT, (), T)])
    journal.close()
    record = await reader.event("e1")
    assert record
    assert record.document is None
    assert await reader.with_document(["e1"]) == frozenset()
    assert await reader.stored_document("e1") is None


async def test_events_of_one_source_are_found_without_reading_those_of_others(
    journal: DynamoJournal, front: DynamoFront, reader: DynamoJournalReader
) -> None:
    for number in range(40):
        source = "/sources/shop" if number in (3, 33) else "/sources/web"
        await journal.record([EventEntry(replace(EVENT, id=f"e{number}", source=source), (), T)])
    front.requests.clear()
    page = await reader.events(EventQuery(source="shop"))
    assert sorted(event.id for event in page.events) == ["e3", "e33"]
    keys = [key for request in front.requests for key in keys_read(request, EVENTS.name)]
    assert sorted(keys) == ["e3", "e33"]


def keys_read(request: JsonObject, table: str) -> list[str]:
    """Return the keys that a BatchGetItem asks a table for."""
    found: list[str] = []
    items = request.get("RequestItems")
    for name, wanted in items.items() if isinstance(items, dict) else ():
        if name.endswith(f"-{table}") and isinstance(wanted, dict) and isinstance(keys := wanted["Keys"], list):
            found += [str(from_item(key)[tables.KEY]) for key in keys]
    return found


async def test_a_page_of_a_source_with_many_events_reads_no_more_than_it_shows(
    journal: DynamoJournal, front: DynamoFront, reader: DynamoJournalReader
) -> None:
    for number in range(40):
        await journal.record([EventEntry(replace(EVENT, id=f"e{number}"), (), T)])
    front.requests.clear()
    page = await reader.events(EventQuery(source="web", limit=5))
    assert len(page.events) == 5
    assert len([key for request in front.requests for key in keys_read(request, EVENTS.name)]) == 6
    rest = await reader.events(EventQuery(source="web", limit=50, before=page.next_before))
    assert len(rest.events) == 35
    assert rest.next_before is None


async def test_the_state_of_a_stack_is_opened_over_its_tables(
    dynamo: DynamoTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dynamo.place.credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
    target = StackTarget(dynamo.prefix.rstrip("-"), dynamo.place.region, dynamo.prefix)
    stack = DeployedStack(target, AwsApi(target.region, {"AWS_ENDPOINT_URL": str(dynamo.place.endpoint)}))
    ledger = DynamoLedger(dynamo.place, dynamo.prefix)
    assert isinstance(await ledger.claim(DELIVERY, MESSAGE, T, LEASE), Claimed)
    ledger.close()
    await asyncio.sleep(0)

    def read() -> tuple[str, ...]:
        with open_aws_state(stack, {}) as state:
            assert state.reader.counts() == {}
            return tuple(row.state for row in state.deliveries("e1"))

    assert await asyncio.to_thread(read) == ("attempted",)
