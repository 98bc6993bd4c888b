"""DynamoDB's faults: answers that are lost, contention, throttling and rejections."""

from dataclasses import replace
from typing import Final

import pytest

from shared.cloud.aws.dynamo import TRIES
from shared.cloud.aws.ledger import DynamoLedger
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.ledger import Busy, Claimed, Finished
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront, Fault
from tests.contract.claims import DELIVERY, EVENT, KEY, LEASE, MESSAGE, T, claimed, done, later
from tests.contract.dynamo.rows import due_rows

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


@pytest.mark.parametrize("error", ["ThrottlingException", "InternalServerError"])
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
