"""The state of the event that `hookchain smoke` sent, by the journal and the ledger, or by the logs: pure functions.

A delivery has a result as soon as its first attempt has an outcome, or if it has to wait as its destination requires.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.journal_view import EventRecord
from deploy.history.logs import Record
from shared.journal import RouteDecision
from shared.jsontext import JsonObject
from shared.ledger import LedgerRow

DELIVERED: Final = "delivered"
GATHERED: Final = "gathered"
"""The delivery waits in a group, as its destination's options require."""
MERGED: Final = "merged"
"""The delivery is part of a digest."""
RETRY_SCHEDULED: Final = "retry_scheduled"
HELD: Final = "held"
DEAD_LETTERED: Final = "dead_lettered"
PENDING: Final = "pending"
"""The delivery has no result yet."""
SUCCESSES: Final = frozenset({DELIVERED, GATHERED, MERGED})
RESULTS: Final = SUCCESSES | {RETRY_SCHEDULED, HELD, DEAD_LETTERED}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """One delivery. `state` is PENDING or one of RESULTS. `detail` is the destination's answer, or the reason why the
    delivery is not delivered."""

    destination: str
    route: str
    state: str
    attempts: int
    detail: str = ""

    @property
    def is_success(self) -> bool:
        return self.state in SUCCESSES


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of an event.

    expected    the number of its deliveries; None before transform has processed it
    routes      the decisions of the routes; empty if only the logs can be read
    broken      the faults of chains, as texts to print
    deliveries  the deliveries that are known so far
    """

    expected: int | None = None
    routes: tuple[RouteDecision, ...] = ()
    broken: tuple[str, ...] = ()
    deliveries: tuple[DeliveryState, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Return whether every delivery has had a result."""
        return self.expected is not None and self.count_with_result >= self.expected

    @property
    def count_with_result(self) -> int:
        return sum(each.state != PENDING for each in self.deliveries)

    @property
    def is_good(self) -> bool:
        """Return whether there are deliveries, and each was delivered or gathered for a digest."""
        if not self.is_complete or self.broken:
            return False
        return bool(self.deliveries) and all(each.is_success for each in self.deliveries)


def state_from_records(record: EventRecord | None, rows: Sequence[LedgerRow]) -> EventState:
    """Return the state by the event's record in the journal and its rows in the ledger."""
    if record is None:
        return EventState()
    answers = {attempt.delivery_id: attempt.answer for attempt in record.attempts}
    deliveries = tuple(_state_from_row(row, answers.get(row.key, "")) for row in rows)
    is_routed = record.summary.routed_at is not None
    broken = tuple(f"route {each.route!r}: {each.reason}" for each in record.routes if each.code)
    return EventState(record.summary.expected if is_routed else None, record.routes, broken, deliveries)


def _state_from_row(row: LedgerRow, journal_answer: str) -> DeliveryState:
    state = row.state if row.state in RESULTS else PENDING
    if state == RETRY_SCHEDULED and row.group:
        state = GATHERED
    answer = journal_answer or row.answer
    detail = answer if state == DELIVERED else row.reason
    return DeliveryState(row.destination, row.route, state, row.attempt_number, detail)


def state_from_logs(records: Iterable[Record], event_id: str) -> EventState:
    """Return the state by the log. `records` are oldest first, and the last record of each delivery counts."""
    expected: int | None = None
    broken: dict[str, str] = {}
    deliveries: dict[str, DeliveryState] = {}
    for record in records:
        fields = record.document
        # A step can split an event: the events that it makes have the ids `<id>-<n>`.
        if str(fields.get("event_id")).partition("-")[0] != event_id:
            continue
        count = fields.get("count")
        if record.process == "transform" and isinstance(count, int):
            expected = count
        elif record.process == "transform" and "code" in fields:
            route = str(fields.get("route", ""))
            broken[route] = f"route {route!r}: {fields.get('reason', fields['code'])}"
        elif record.process == "notify" and "delivery_id" in fields:
            delivery = _state_from_log(fields)
            if delivery is not None:
                deliveries[str(fields["delivery_id"])] = delivery
    return EventState(expected, (), tuple(broken.values()), tuple(deliveries.values()))


def _state_from_log(fields: JsonObject) -> DeliveryState | None:
    """Return the delivery's state by a log line of notify; None if the line reports no result."""
    outcome = str(fields.get("outcome"))
    # An attempt with an unknown outcome is repeated.
    state = RETRY_SCHEDULED if outcome == "unknown" else outcome
    if state not in RESULTS:
        return None
    number = fields.get("attempt_number")
    return DeliveryState(
        str(fields.get("destination")),
        str(fields.get("route")),
        state,
        number if isinstance(number, int) else 0,
        str(fields.get("reason") or ""),
    )
