"""What the contracts leave open on DynamoDB: costs, faults, items, and how the journal is read."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final

import pytest

from deploy.cloud_access.aws import AwsApi, DeployedStack
from deploy.cloud_access.aws_names import StackTarget
from deploy.history import dynamo_journal
from deploy.history.aws import open_aws_state
from deploy.history.dynamo_journal import DynamoJournalReader
from deploy.history.journal_view import EventQuery
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared import ledger_rules as rules
from shared.cloud.aws import tables
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.dynamo import TRIES, Dynamo
from shared.cloud.aws.dynamo_values import from_item, to_item
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.ledger_items import VERSION, item_of, row_of
from shared.cloud.aws.ledger_lists import ROWS_AT_ONCE
from shared.cloud.aws.tables import BODIES, DEAD_LETTERS, DELIVERIES, DELIVERIES_BY_ENDPOINT, EVENTS, EXPIRES_AT
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.shards import SHARDS
from shared.delivery import REMEMBERED_SECONDS, Delivery
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import JsonObject, to_json
from shared.ledger import Busy, Claimed, Finished, Gathered, LedgerRow
from shared.outgoing.http_client import MAX_ANSWER_BYTES
from shared.push import parse_push
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront, Fault
from tests.contract.claims import (
    DELIVERY,
    EVENT,
    KEY,
    LEASE,
    MESSAGE,
    T,
    attempt,
    claimed,
    delivery,
    done,
    failed,
    held,
    later,
    settled,
)
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


async def test_a_sweep_that_finds_nothing_costs_a_query_a_shard(ledger: DynamoLedger, front: DynamoFront) -> None:
    assert await ledger.due(T, 100, T - 600) == []
    assert front.counts == {"Query": SHARDS}


async def test_a_delivery_is_gathered_and_merged_by_a_write_each(ledger: DynamoLedger, front: DynamoFront) -> None:
    for number in range(30):
        assert await ledger.gather(delivery(number), MESSAGE, "g1", "", T, T) == Gathered()
    assert front.counts == {"PutItem": 30}
    moves = [(row.key, row.fence) for row in await ledger.due(T, 30)]
    front.counts.clear()
    assert await ledger.merge_all(moves, T, "d1") == [True] * 30
    assert front.counts == {"UpdateItem": 30}


async def test_keys_are_spread_over_shards(ledger: DynamoLedger, journal: DynamoJournal, dynamo: DynamoTables) -> None:
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


# Faults

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


@pytest.mark.parametrize("fault", [replace(each, action="UpdateItem") for each in LOST])
async def test_a_row_whose_postponement_was_lost_is_postponed_once_and_by_this_sweep(
    ledger: DynamoLedger, front: DynamoFront, fault: Fault
) -> None:
    [(key, fence)] = await due_rows(ledger, 1)
    front.faults.append(fault)
    assert await ledger.postpone(key, fence, T, T + 600) == fence + 1
    assert await ledger.postpone(key, fence, T, T + 600) is None  # as another sweep would, at the same moment


@pytest.mark.parametrize("fault", [replace(each, action="UpdateItem") for each in LOST])
async def test_a_row_whose_merge_is_lost_is_merged_once(ledger: DynamoLedger, front: DynamoFront, fault: Fault) -> None:
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


async def test_endless_contention_is_temporary_after_a_few_tries(ledger: DynamoLedger, front: DynamoFront) -> None:
    front.faults += [Fault("PutItem", "ConditionalCheckFailedException")] * TRIES
    with pytest.raises(Temporary, match="others kept writing delivery"):
        await claimed(ledger)
    assert await claimed(ledger)


@pytest.mark.parametrize("error", ["ThrottlingException", "InternalServerError"])
async def test_an_outcome_is_recorded_though_dynamodb_rejects_for_a_moment(
    ledger: DynamoLedger, front: DynamoFront, error: str
) -> None:
    """One that is not recorded is delivered once more."""
    claim = await claimed(ledger)
    front.faults += [Fault("PutItem", error)] * 2
    assert await ledger.settle(claim, done())
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE) == Finished()


async def test_what_dynamodb_keeps_rejecting_is_temporary(ledger: DynamoLedger, front: DynamoFront) -> None:
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


# Items

KEEP: Final = REMEMBERED_SECONDS
MAX_ITEM_BYTES: Final = 400 * 1024
"""DynamoDB's limit of a whole item, the names of its attributes included."""


# Items that expired, and are still there


@pytest.mark.parametrize(("due_fence", "calls"), [(None, {"PutItem": 1}), (7, {"GetItem": 1, "PutItem": 1})])
async def test_a_delivery_that_expired_and_is_still_there_is_as_good_as_gone(
    ledger: DynamoLedger, front: DynamoFront, dynamo: DynamoTables, due_fence: int | None, calls: dict[str, int]
) -> None:
    assert await ledger.settle(await claimed(ledger), failed())
    assert await ledger.claim(DELIVERY, MESSAGE, T + KEEP - 1, LEASE) == Finished()
    assert await ledger.reopen(KEY, T + KEEP) is None
    front.counts.clear()
    again = await claimed(ledger, T + KEEP, due_fence)
    assert front.counts == calls
    assert (again.row.attempt_number, again.row.created_at, again.row.attempts) == (1, T + KEEP, ())
    [item] = dynamo.items(DELIVERIES)
    assert EXPIRES_AT not in item


async def test_only_finished_deliveries_expire(ledger: DynamoLedger, dynamo: DynamoTables) -> None:
    claim = await claimed(ledger)
    for settlement in (None, held()):
        assert settlement is None or await ledger.settle(claim, settlement)
        [item] = dynamo.items(DELIVERIES)
        assert EXPIRES_AT not in item
    assert await ledger.forget(KEY, T)
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


def row_in(state: str) -> LedgerRow:
    row = rules.new_row(DELIVERY, KEY, T)
    claim, attempted = rules.claim(
        row,
        payload_hash=EVENT.payloadhash,
        message=MESSAGE,
        now=T,
        lease_seconds=LEASE,
        due_fence=None,
        fence=2**53 - 1,
    )
    assert isinstance(claim, Claimed)
    settled = {
        "claimed": row,
        "attempted": attempted,
        "delivered": rules.settle(attempted, claim, done(T + 0.25)),
        "dead_lettered": rules.settle(attempted, claim, failed(T, "gone", "410")),
        "held": rules.settle(attempted, claim, held(T, "verify the sender")),
        "retry_scheduled": rules.settle(attempted, claim, later(T + 5)),
    }[state]
    assert settled is not None
    return settled


@pytest.mark.parametrize("state", ["claimed", "attempted", "delivered", "dead_lettered", "held", "retry_scheduled"])
def test_a_row_is_read_as_it_was_written(state: str) -> None:
    row = row_in(state)._replace(replays=("r1", "r2"), crashes=1, unknown_count=2, generation=3, undelivered_since=2)
    assert row_of(item_of(row, "v")) == row


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
    records = DocumentRecords(DynamoDocuments(front.place, dynamo.prefix, "records"))
    assert await records.read("group:a") is None
    assert [each["ConsistentRead"] for each in front.requests] == [True]
    records.close()
    await asyncio.sleep(0)


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
    for number in range(ROWS_AT_ONCE + 1):
        await settled(ledger, delivery(number), later(T), message=message)
    rows = await ledger.due(T, 100)
    assert {len(row.message) for row in rows} == {len(message)}
    assert (len(rows), front.counts["BatchGetItem"]) == (ROWS_AT_ONCE + 1, 2)


def test_the_largest_rows_that_are_read_at_once_fit_into_an_answer() -> None:
    """Their attempts too: a sweep whose answer was too large would be so again, and nothing would be retried."""
    quoting = attempt("retry_scheduled", reason='"' * 500, answer='"' * 500)
    row = row_in("held")._replace(message=b"x" * 206_000, attempts=(quoting,) * rules.MAX_ATTEMPTS)
    written = len(to_json(to_item(item_of(row, "v"))))
    without_message = len(to_json(to_item({**item_of(row, "v"), "message": None})))
    assert ROWS_AT_ONCE * written < MAX_ANSWER_BYTES
    assert dynamo_journal.ROWS_AT_ONCE * without_message < MAX_ANSWER_BYTES


async def test_a_dead_letter_that_has_no_place_is_temporary(dynamo: DynamoTables) -> None:
    journal = DynamoJournal(dynamo.place, dynamo.prefix, None, Retention())
    with pytest.raises(Temporary, match="needs a bucket"):
        await journal.record([a_letter("d", b"y" * 2_000_000)])


# Reading the journal


@pytest.fixture
def reader(front: DynamoFront, dynamo: DynamoTables) -> Iterator[DynamoJournalReader]:
    store = Dynamo(front.place, dynamo.prefix, "journal_unavailable")
    with closing(DynamoJournalReader(store, FakeBlobs(), lambda: T + 60)) as reader:
        yield reader


async def test_what_expired_and_is_still_there_is_shown_nowhere(
    front: DynamoFront, dynamo: DynamoTables, reader: DynamoJournalReader
) -> None:
    journal = DynamoJournal(front.place, dynamo.prefix, None, Retention(60, 30, 60))
    await journal.record([EventEntry(EVENT, (), T), a_letter("d1")])
    journal.close()
    assert [len(dynamo.items(table)) for table in (EVENTS, BODIES, DEAD_LETTERS)] == [1, 1, 1]
    assert reader.events(EventQuery()).events == ()
    assert reader.event("e1") is None
    assert reader.with_document(["e1"]) == frozenset()
    assert reader.stored_document("e1") is None
    assert reader.dead_letters(9, state=None) == ()
    assert reader.dead_letter("d1") is None


async def test_events_of_one_source_are_found_without_reading_those_of_others(
    journal: DynamoJournal, front: DynamoFront, reader: DynamoJournalReader
) -> None:
    for number in range(40):
        source = "/sources/shop" if number in (3, 33) else "/sources/web"
        await journal.record([EventEntry(replace(EVENT, id=f"e{number}", source=source), (), T)])
    front.requests.clear()
    page = reader.events(EventQuery(source="shop"))
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


async def test_the_state_of_a_stack_is_in_its_tables(dynamo: DynamoTables, monkeypatch: pytest.MonkeyPatch) -> None:
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
