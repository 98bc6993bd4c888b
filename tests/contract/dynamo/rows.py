"""Rows and dead letters as the tests of DynamoDB write them."""

from shared.cloud.aws.ledger import DynamoLedger
from shared.journal import DeadLetter
from tests.contract.claims import T, delivery, later, settled


async def due_rows(ledger: DynamoLedger, count: int) -> list[tuple[str, int]]:
    moves = []
    for number in range(count):
        claim = await settled(ledger, delivery(number), later(T))
        moves.append((claim.row.key, claim.row.fence))
    return moves


def a_letter(letter_id: str, message: bytes = b"{}") -> DeadLetter:
    return DeadLetter(letter_id, "request_rejected", "", T, message, "events", "e1")
