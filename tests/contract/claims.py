"""What the ledger's contract is told with: one delivery, and the ways that it has gone before a test begins."""

from dataclasses import replace

from shared.delivery import Delivery
from shared.event import Event
from shared.journal import AttemptEntry
from shared.ledger import Claim, Claimed, Ledger, LedgerRow, Settlement
from shared.ledger_rules import DEAD_LETTERED, DELIVERED, HELD, RETRY_SCHEDULED

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


async def settled(
    ledger: Ledger, claimed_delivery: Delivery, settlement: Settlement, now: float = T, message: bytes = MESSAGE
) -> Claimed:
    """Claim a delivery and settle it."""
    claim = await ledger.claim(claimed_delivery, message, now, LEASE)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, settlement)
    return claim


def attempt(outcome: str, number: int = 1, at: float = T, reason: str = "", answer: str = "") -> AttemptEntry:
    names = KEY, "e1", "tell the list", "crm"
    return AttemptEntry(*names, number, at, at + 0.25, outcome, reason, answer)


def done(now: float = T, answer: str = "202 Accepted", number: int = 1) -> Settlement:
    return Settlement(DELIVERED, now, attempt=attempt("delivered", number, now, answer=answer))


def failed(now: float = T, reason: str = "", answer: str = "") -> Settlement:
    return Settlement(DEAD_LETTERED, now, reason, attempt("failed", at=now, reason=reason, answer=answer))


def later(at: float, now: float = T, outcome: str = "retry_scheduled") -> Settlement:
    """To be tried again after an attempt."""
    return Settlement(RETRY_SCHEDULED, now, "busy there", attempt(outcome, at=now, answer="429"), at)


def put_off(at: float, now: float = T) -> Settlement:
    """To be tried again without an attempt having been made."""
    return Settlement(RETRY_SCHEDULED, now, "paused", retry_at=at)


def held(now: float = T, reason: str = "") -> Settlement:
    return Settlement(HELD, now, reason, attempt("held", at=now, reason=reason, answer="403"))


async def in_retry(ledger: Ledger, at: float) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, later(at))
    return claim


async def finished(ledger: Ledger) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, done())
    return claim


async def suspect(ledger: Ledger, now: float = T) -> Claimed:
    """Claimed again after an attempt that began at that time and has no record."""
    await claimed(ledger, now)
    return await claimed(ledger, now + LEASE)


async def the_row(ledger: Ledger) -> LedgerRow:
    (row,) = await ledger.rows(10, event_id="e1")
    return row
