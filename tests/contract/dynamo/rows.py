"""Rows and dead letters as the tests of DynamoDB write them."""

from shared.cloud.aws.ledger import DynamoLedger
from shared.journal import DeadLetter
from shared.ledger import Claimed
from tests.contract.claims import LEASE, MESSAGE, T, delivery, later


async def due_rows(ledger: DynamoLedger, count: int) -> list[tuple[str, int]]:
    moves = []
    for number in range(count):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T))
        moves.append((claim.row.key, claim.row.fence))
    return moves


def a_letter(letter_id: str, message: bytes = b"{}") -> DeadLetter:
    return DeadLetter(letter_id, "request_rejected", "", T, message, "events", "e1")
