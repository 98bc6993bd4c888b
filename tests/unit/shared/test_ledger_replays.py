"""A row knows the replays that reopened it, and stays of a size that stores take."""

from shared.delivery import Delivery
from shared.ledger import Claimed, Settlement
from shared.ledger_rules import DELIVERED, MAX_REPLAYS
from tests.fakes.fan_out import PAID
from tests.fakes.ledger import FakeLedger


async def test_a_delivery_that_is_sent_again_for_ever_remembers_the_newest_replays() -> None:
    ledger, delivery = FakeLedger(), Delivery(PAID, "all", "customers")
    for number in range(MAX_REPLAYS + 50):
        claim = await ledger.claim(delivery, b"{}", float(number), 60.0)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, Settlement(DELIVERED, float(number)))
        assert await ledger.reopen(delivery.id, float(number), f"replay-{number}") is not None
    (row,) = await ledger.rows(1)
    assert (len(row.replays), row.replays[-1]) == (MAX_REPLAYS, f"replay-{MAX_REPLAYS + 49}")
