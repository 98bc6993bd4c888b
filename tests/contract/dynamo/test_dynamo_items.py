"""What an item of DynamoDB holds, how large it may be, and when it expires."""

import asyncio
from typing import Final

import pytest

from deploy.history import dynamo_journal
from shared import ledger_rules as rules
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.dynamo import to_item
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import ROWS_AT_ONCE, VERSION, DynamoLedger, item_of, row_of
from shared.cloud.aws.tables import BODIES, DEAD_LETTERS, DELIVERIES, EVENTS, EXPIRES_AT
from shared.cloud.kept_by_key import DocumentRecords
from shared.delivery import REMEMBERED_SECONDS
from shared.errors import Temporary
from shared.journal import EventEntry
from shared.jsontext import to_json
from shared.ledger import Claimed, Finished, Gathered, LedgerRow
from shared.outgoing.http_client import MAX_ANSWER_BYTES
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront
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

KEEP: Final = REMEMBERED_SECONDS
MAX_ITEM_BYTES: Final = 400 * 1024
"""DynamoDB's limit of a whole item, the names of its attributes included."""


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
    claim, attempted = rules.claim(row, EVENT.payloadhash, MESSAGE, T, LEASE, None, 2**53 - 1)
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
