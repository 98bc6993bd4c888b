"""The first claim of a delivery, and the replays that its row remembers."""

from dataclasses import replace

from hypothesis import given, strategies as st

from shared.delivery import Delivery
from shared.ledger import Claimed, Settlement
from shared.ledger_rules import ATTEMPTED, DELIVERED, MAX_REPLAYS, claim, new_row
from tests.fakes.fan_out import PAID
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery


@given(now=st.floats(0, 2e9), lease=st.floats(0, 1e4), fence=st.integers(1, 2**53), due=st.none() | st.integers(0))
def test_the_first_claim_is_the_claim_of_a_new_row(now: float, lease: float, fence: int, due: int | None) -> None:
    delivery = replace(a_delivery(1), merged=3)
    row = new_row(delivery, delivery.id, now)
    first_row = new_row(delivery, delivery.id, now, ATTEMPTED, fence, 1, lease)

    claimed = claim(row, delivery.event.payloadhash, b"new", now, lease, due, fence)

    assert claimed == (Claimed(first_row, b"new"), first_row)


async def test_a_delivery_that_is_sent_again_for_ever_remembers_the_newest_replays() -> None:
    ledger, delivery = FakeLedger(), Delivery(PAID, "all", "customers")
    for number in range(MAX_REPLAYS + 50):
        claim = await ledger.claim(delivery, b"{}", float(number), 60.0)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, Settlement(DELIVERED, float(number)))
        assert await ledger.reopen(delivery.id, float(number), f"replay-{number}") is not None
    (row,) = await ledger.rows(1)
    assert (len(row.replays), row.replays[-1]) == (MAX_REPLAYS, f"replay-{MAX_REPLAYS + 49}")
