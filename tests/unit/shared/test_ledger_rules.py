"""What a claim and its settlement leave of a row as it was."""

from shared.journal import AttemptEntry
from shared.ledger import Claimed, LedgerRow, Settlement
from shared.ledger_rules import ATTEMPTED, CLAIMED, DELIVERED, claim, settle

ATTEMPT = AttemptEntry("key", "event", "route", "destination", 3, 20.0, 21.0, "delivered", "", "202")
ROW = LedgerRow(
    key="key",
    event_id="event",
    route="route",
    destination="destination",
    state=CLAIMED,
    fence=11,
    generation=2,
    attempt_number=2,
    retry_at=12.0,
    reason="reason",
    answer="answer",
    created_at=13.0,
    updated_at=14.0,
    message=b"old",
    payload_hash="hash",
    lease_until=15.0,
    crashes=0,
    unknown_count=4,
    group="group",
    merged=5,
    replays=("replay",),
    slot_at=16.0,
    undelivered_since=1,
    attempts=(ATTEMPT,),
)
"""Each field has a value that no other has."""


def test_a_claim_keeps_all_that_it_does_not_decide() -> None:
    answer, claimed = claim(ROW, "hash", b"new", 20.0, 60.0, None, 17)

    assert answer == Claimed(claimed, b"new")
    assert claimed == ROW._replace(
        state=ATTEMPTED,
        fence=17,
        attempt_number=3,
        retry_at=None,
        updated_at=20.0,
        lease_until=80.0,
        group="",
    )


def test_a_settlement_keeps_all_that_it_does_not_decide() -> None:
    row = ROW._replace(state=ATTEMPTED)

    assert settle(row, Claimed(row, b"new"), Settlement(DELIVERED, 22.0, "why", ATTEMPT)) == row._replace(
        state=DELIVERED,
        retry_at=None,
        reason="why",
        answer="202",
        updated_at=22.0,
        message=b"",
        unknown_count=0,
        group="",
        slot_at=0.0,
        attempts=(ATTEMPT, ATTEMPT),
    )
