"""What can be seen of one event's way, from the local journal and ledger, or from the functions' logs in the cloud."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.log_records import Record
from shared.cloud.journal_rows import EventRecord
from shared.journal import RouteDecision
from shared.ledger import LedgerRow

DELIVERED: Final = "delivered"
RETRYING: Final = "retrying"
HELD: Final = "held"
FAILED: Final = "failed"
PENDING: Final = "pending"

_LEDGER_STATES: Final = {"done": DELIVERED, "failed": FAILED, "retry_at": RETRYING, "disabled": HELD}
_LOGGED: Final = {
    "delivered": DELIVERED,
    "retry_later": RETRYING,
    "unknown": RETRYING,
    "held": HELD,
    "dead_letter": FAILED,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One delivery. `words`: the answer, or the reason why it is not delivered."""

    destination: str
    route: str
    state: str
    attempts: int
    words: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """`expected` deliveries, None before transform has seen the event. `routes` where it is known why each took it or
    not, `broken` what a chain failed with."""

    expected: int | None = None
    routes: tuple[RouteDecision, ...] = ()
    broken: tuple[str, ...] = ()
    deliveries: tuple[Seen, ...] = ()

    @property
    def is_complete(self) -> bool:
        settled = sum(each.state != PENDING for each in self.deliveries)
        return self.expected is not None and settled >= self.expected

    @property
    def is_good(self) -> bool:
        """Something was delivered, and nothing was not."""
        return (
            self.is_complete
            and not self.broken
            and bool(self.deliveries)
            and all(each.state == DELIVERED for each in self.deliveries)
        )


def sight_of_records(record: EventRecord | None, rows: Sequence[LedgerRow]) -> Sight:
    if record is None:
        return Sight()
    attempts = {each.delivery_id: each for each in record.attempts}
    deliveries = tuple(_seen(row, attempts[row.key].answer if row.key in attempts else "") for row in rows)
    is_routed = record.summary.routed_at is not None
    broken = tuple(f"route {each.route!r}: {each.reason}" for each in record.routes if each.code)
    return Sight(record.summary.expected if is_routed else None, record.routes, broken, deliveries)


def _seen(row: LedgerRow, answer: str) -> Seen:
    state = _LEDGER_STATES.get(row.state, PENDING)
    words = answer or row.answer if state == DELIVERED else row.reason
    return Seen(row.destination, row.route, state, row.attempt_number, words)


def sight_of_log(records: Iterable[Record], event_id: str) -> Sight:
    """Of each delivery the last word counts. `records` are oldest first."""
    expected: int | None = None
    broken: dict[str, str] = {}
    deliveries: dict[str, Seen] = {}
    for record in records:
        fields = record.document
        if str(fields.get("event_id")).partition("-")[0] != event_id:  # a split one is `<id>-<n>`
            continue
        count = fields.get("count")
        if record.process == "transform" and isinstance(count, int):
            expected = count
        elif record.process == "transform" and "code" in fields:
            route = str(fields.get("route", ""))
            broken[route] = f"route {route!r}: {fields.get('reason', fields['code'])}"
        elif record.process == "notify" and "delivery_id" in fields and fields.get("outcome") in _LOGGED:
            deliveries[str(fields["delivery_id"])] = _logged(record)
    return Sight(expected, (), tuple(broken.values()), tuple(deliveries.values()))


def _logged(record: Record) -> Seen:
    fields = record.document
    number = fields.get("attempt_number")
    return Seen(
        str(fields.get("destination")),
        str(fields.get("route")),
        _LOGGED[str(fields.get("outcome"))],
        number if isinstance(number, int) else 0,
        str(fields.get("reason") or ""),
    )
