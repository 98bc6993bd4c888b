"""What the ledger's contract is told with: one delivery, and the ways that it has gone before a test begins."""

from dataclasses import replace

from shared.delivery import Delivery
from shared.event import Event
from shared.ledger import Claim, Claimed, Ledger, LedgerRow

T = 1_790_000_000.0
LEASE = 45.0
EVENT = Event("e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "a" * 64, {"name": "Ada"})
DELIVERY = Delivery(EVENT, "tell the list", "crm")
KEY = DELIVERY.id
MESSAGE = b'{"the":"message"}'


def delivery(number: int, destination: str = "crm") -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}"), "tell the list", destination)


async def claimed(ledger: Ledger, now: float = T, due_fence: int | None = None) -> Claimed:
    answer = await ledger.claim(DELIVERY, MESSAGE, now, LEASE, due_fence)
    assert isinstance(answer, Claimed)
    return answer


async def plain_claim(ledger: Ledger, now: float) -> Claim:
    return await ledger.claim(DELIVERY, MESSAGE, now, LEASE)


async def in_retry(ledger: Ledger, at: float) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.retry_at(KEY, claim.fence, T, at, "busy there", "429")
    return claim


async def finished(ledger: Ledger) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.done(KEY, claim.fence, T, "202 Accepted")
    return claim


async def the_row(ledger: Ledger) -> LedgerRow:
    (row,) = await ledger.rows(10)
    return row
