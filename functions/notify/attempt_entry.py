"""An attempt and its outcome, as the journal has them."""

from shared.delivery import Delivered, Delivery, Disabled, Outcome, Refused, Unknown
from shared.journal import AttemptEntry


def attempt_entry(
    delivery: Delivery, key: str, attempt_number: int, outcome: Outcome, started: float, ended: float
) -> AttemptEntry:
    return AttemptEntry(
        delivery_id=key,
        event_id=delivery.event.origin,
        route=delivery.route,
        destination=delivery.destination,
        attempt_number=attempt_number,
        started_at=started,
        ended_at=ended,
        outcome=_name(outcome),
        reason="" if isinstance(outcome, Delivered) else outcome.reason,
        answer=outcome.answer,
    )


def _name(outcome: Outcome) -> str:
    if isinstance(outcome, Delivered):
        return "delivered"
    if isinstance(outcome, Refused):
        return "refused"
    if isinstance(outcome, Disabled):
        return "disabled"
    return "unknown" if isinstance(outcome, Unknown) else "retry_later"
