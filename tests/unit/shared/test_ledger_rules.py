"""What a claim, its settlement and a replay leave of a row as it was."""

from dataclasses import replace

from hypothesis import given, strategies as st

from shared.delivery import Delivery
from shared.journal import AttemptEntry
from shared.ledger import Claimed, LedgerRow, Settlement
from shared.ledger_rules import (
    ATTEMPTED,
    CLAIMED,
    DEAD_LETTERED,
    DELIVERED,
    HELD,
    MAX_REPLAYS,
    RETRY_SCHEDULED,
    claim,
    first_claim,
    new_row,
    settle,
)
from shared.outcomes import AttemptOutcome, DeliveryState
from tests.fakes.fan_out import PAID
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery

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


@given(now=st.floats(0, 2e9), lease=st.floats(0, 1e4), fence=st.integers(1, 2**53), due=st.none() | st.integers(0))
def test_the_first_claim_is_the_claim_of_a_new_row(now: float, lease: float, fence: int, due: int | None) -> None:
    delivery = replace(a_delivery(1), merged=3)
    row = new_row(delivery, delivery.id, now)
    claimed = claim(row, delivery.event.payloadhash, b"new", now, lease, due, fence)

    assert first_claim(delivery, delivery.id, b"new", now, lease, fence) == claimed[0] == Claimed(claimed[1], b"new")


@given(
    state=st.sampled_from([DELIVERED, RETRY_SCHEDULED, HELD, DEAD_LETTERED]),
    before=st.sampled_from([ATTEMPTED, CLAIMED]),
    outcome=st.sampled_from([None, "delivered", "unknown", "failed"]),
    retry_at=st.sampled_from([None, 30.0]),
    group=st.sampled_from(["", "g2"]),
    has_slot=st.booleans(),
)
def test_a_settlement_changes_these_fields(
    state: DeliveryState,
    before: DeliveryState,
    outcome: AttemptOutcome | None,
    retry_at: float | None,
    group: str,
    has_slot: bool,
) -> None:
    row = ROW._replace(state=before, crashes=7)
    attempt = ATTEMPT._replace(outcome=outcome) if outcome else None
    settled = settle(row, Claimed(row, b"new"), Settlement(state, 22.0, "why", attempt, retry_at, group, has_slot))
    unknown_count = {None: row.unknown_count, "unknown": row.unknown_count + 1}.get(outcome, 0)

    assert settled == row._replace(
        state=state,
        attempt_number=row.attempt_number - (attempt is None and before == ATTEMPTED),
        retry_at=retry_at,
        reason="why",
        answer="202" if attempt else "",
        updated_at=22.0,
        message=b"new" if state in {RETRY_SCHEDULED, HELD} else b"",
        crashes=row.crashes if attempt is None and state == RETRY_SCHEDULED else 0,
        unknown_count=unknown_count,
        group=group,
        slot_at=retry_at if has_slot and retry_at else 0.0,
        attempts=(*row.attempts, attempt) if attempt else row.attempts,
    )


async def test_a_delivery_that_is_sent_again_for_ever_remembers_the_newest_replays() -> None:
    ledger, delivery = FakeLedger(), Delivery(PAID, "all", "customers")
    for number in range(MAX_REPLAYS + 50):
        claim = await ledger.claim(delivery, b"{}", float(number), 60.0)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, Settlement(DELIVERED, float(number)))
        assert await ledger.reopen(delivery.id, float(number), f"replay-{number}") is not None
    (row,) = await ledger.rows(1)
    assert (len(row.replays), row.replays[-1]) == (MAX_REPLAYS, f"replay-{MAX_REPLAYS + 49}")
