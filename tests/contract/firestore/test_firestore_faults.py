"""Firestore's faults: contention, confirmations that are lost, and rejections."""

import pytest

from shared.cloud.gcp.firestore import TRIES, Firestore, Write
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.errors import Temporary
from shared.ledger import Busy, Claimed, Finished
from tests.contract.claims import DELIVERY, LEASE, T, claimed
from tests.contract.firestore.rows import DONE, DUE
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_server import Fault


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
