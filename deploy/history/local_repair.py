"""The journal set right by the ledger: what was decided without an attempt, and what a crash kept from the journal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.journal import AttemptEntry
from shared.ledger import LedgerRow
from shared.outcomes import AttemptOutcome

NOTE: Final = 0
"""The attempt number of an entry that was no attempt: it counts for the event's status and is not shown."""

_OUTCOMES: Final[Mapping[str, AttemptOutcome]] = {
    "delivered": "delivered",
    "dead_lettered": "failed",
    "retry_scheduled": "retry_scheduled",
    "held": "held",
}
_SAME: Final = frozenset({("unknown", "retry_scheduled"), ("unknown", "held")})


def missing_entries(outcomes: dict[str, str], rows: Sequence[LedgerRow]) -> Iterator[AttemptEntry]:
    """`outcomes`: the last one the journal has, by delivery."""
    for row in rows:
        outcome = _OUTCOMES.get(row.state)
        known = outcomes.get(row.key, "")
        if outcome and outcome != known and (known, outcome) not in _SAME:
            yield AttemptEntry(
                delivery_id=row.key,
                event_id=row.event_id,
                route=row.route,
                destination=row.destination,
                attempt_number=NOTE,
                started_at=row.updated_at,
                ended_at=row.updated_at,
                outcome=outcome,
                reason=row.reason,
                answer=row.answer,
            )
