"""Workers that were given claims."""

from dataclasses import dataclass

from shared.journal import AttemptEntry
from shared.ledger import Claimed
from tests.fakes.notifier import a_delivery

LEASE = 45.0
DELIVERIES = {f"e{number}": a_delivery(number) for number in range(2)}


@dataclass
class Worker:
    """Who was given a claim. It may be dead or slow, and write late or twice, without the ledger knowing."""

    event_id: str
    claim: Claimed
    expires_at: float
    sent: bool = False

    @property
    def key(self) -> str:
        return DELIVERIES[self.event_id].id


def attempt_of(worker: Worker, outcome: str, now: float) -> AttemptEntry:
    delivery, number = DELIVERIES[worker.event_id], worker.claim.row.attempt_number
    return AttemptEntry(worker.key, worker.event_id, delivery.route, "crm", number, now, now, outcome)
