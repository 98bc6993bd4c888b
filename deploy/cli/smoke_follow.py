"""One event followed to its end: what is known of it, from journal and ledger or from the logs, stage by stage."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.history.journal_view import EventRecord
from deploy.history.logs import Record
from deploy.terminal.printing import count_of
from deploy.terminal.tables import DIM, GREEN, RED, YELLOW, Screen, printable
from shared.journal import RouteDecision
from shared.jsontext import JsonObject
from shared.ledger import LedgerRow

DELIVERED: Final = "delivered"
RETRY_SCHEDULED: Final = "retry_scheduled"
GATHERED: Final = "gathered"
HELD: Final = "held"
MERGED: Final = "merged"
DEAD_LETTERED: Final = "dead_lettered"
PENDING: Final = "pending"

_GOOD: Final = frozenset({DELIVERED, GATHERED, MERGED})
"""A delivery that waits in a group, or is part of a digest, is where its destination's options put it."""
_SETTLED: Final = _GOOD | {RETRY_SCHEDULED, HELD, DEAD_LETTERED}
_LOGGED: Final = {**{outcome: outcome for outcome in _SETTLED}, "unknown": RETRY_SCHEDULED}

STAGE_WIDTH: Final = 11
_MARKS: Final = {
    DELIVERED: ("✓", GREEN),
    GATHERED: ("✓", GREEN),
    MERGED: ("✓", GREEN),
    RETRY_SCHEDULED: ("✗", YELLOW),
    HELD: ("✗", YELLOW),
    DEAD_LETTERED: ("✗", RED),
}
_ADVICE: Final = {
    RETRY_SCHEDULED: "it is retried automatically, for days; `hookchain events list{where}` shows its status",
    HELD: "fix the reason, then: hookchain resume {destination}{where}",
    DEAD_LETTERED: "`hookchain dead-letters list{where}` shows it, and `replay` sends it again",
}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """One delivery. `detail` is the answer, or the reason why it is not delivered."""

    destination: str
    route: str
    state: str
    attempts: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of an event. `expected` counts its deliveries, None before transform has processed it. `routes` are
    the decisions, if they are known; `broken` the faults of chains."""

    expected: int | None = None
    routes: tuple[RouteDecision, ...] = ()
    broken: tuple[str, ...] = ()
    deliveries: tuple[DeliveryState, ...] = ()

    @property
    def is_complete(self) -> bool:
        settled = sum(each.state != PENDING for each in self.deliveries)
        return self.expected is not None and settled >= self.expected

    @property
    def is_good(self) -> bool:
        """Something was delivered or gathered for a digest, and nothing failed."""
        return (
            self.is_complete
            and not self.broken
            and bool(self.deliveries)
            and all(each.state in _GOOD for each in self.deliveries)
        )


def state_from_records(record: EventRecord | None, rows: Sequence[LedgerRow]) -> EventState:
    if record is None:
        return EventState()
    attempts = {each.delivery_id: each for each in record.attempts}
    deliveries = tuple(_seen(row, attempts[row.key].answer if row.key in attempts else "") for row in rows)
    is_routed = record.summary.routed_at is not None
    broken = tuple(f"route {each.route!r}: {each.reason}" for each in record.routes if each.code)
    return EventState(record.summary.expected if is_routed else None, record.routes, broken, deliveries)


def _seen(row: LedgerRow, answer: str) -> DeliveryState:
    state = row.state if row.state in _SETTLED else PENDING
    if state == RETRY_SCHEDULED and row.group:
        state = GATHERED
    detail = answer or row.answer if state == DELIVERED else row.reason
    return DeliveryState(row.destination, row.route, state, row.attempt_number, detail)


def state_from_logs(records: Iterable[Record], event_id: str) -> EventState:
    """Return what the logs say. The last record of each delivery counts; `records` are oldest first."""
    expected: int | None = None
    broken: dict[str, str] = {}
    deliveries: dict[str, DeliveryState] = {}
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
    return EventState(expected, (), tuple(broken.values()), tuple(deliveries.values()))


def _logged(record: Record) -> DeliveryState:
    fields = record.document
    number = fields.get("attempt_number")
    return DeliveryState(
        str(fields.get("destination")),
        str(fields.get("route")),
        _LOGGED[str(fields.get("outcome"))],
        number if isinstance(number, int) else 0,
        str(fields.get("reason") or ""),
    )


def delivery_document(delivery: DeliveryState) -> JsonObject:
    names = ("destination", "route", "state", "attempts", "detail")
    return {name: getattr(delivery, name) for name in names}


# Printing


@dataclass(slots=True)
class StagePrinter:
    """Prints each stage once. `clock` returns the seconds since the event was sent; `where` is the options that make
    another command look at the same platform."""

    screen: Screen
    clock: Callable[[], float]
    say: Callable[[str], None]
    where: str = ""
    is_routed: bool = False
    states: "dict[tuple[str, str], str] | None" = None
    documents: list[JsonObject] = field(default_factory=list)

    def stage(self, mark: str, colour: str, name: str, detail: str, todo: str = "") -> None:
        seconds = round(self.clock(), 3)
        self.documents.append({"stage": name, "ok": mark == "✓", "seconds": seconds, "detail": detail, "todo": todo})
        took = f"{self.clock():6.2f} s"
        self.say(f"{self.screen.coloured(mark, colour)} {name.ljust(STAGE_WIDTH)} {took}  {printable(detail)}")
        if todo:
            self.say(f"  {' ' * STAGE_WIDTH} {' ' * len(took)}  {self.screen.coloured('→', colour)} {printable(todo)}")

    def look(self, state: EventState) -> None:
        if state.expected is not None and not self.is_routed:
            self.is_routed = True
            self._routed(state)
        seen = self.states if self.states is not None else {}
        self.states = seen
        for each in state.deliveries:
            key = (each.route, each.destination)
            if each.state != PENDING and seen.get(key) != each.state:
                seen[key] = each.state
                self._delivery(each)

    def _routed(self, state: EventState) -> None:
        if state.expected:
            self.stage("✓", GREEN, "transformed", count_of(state.expected, "delivery", "deliveries"))
        elif any(route.outcome == "filtered" for route in state.routes):
            self.stage("✗", YELLOW, "transformed", "a step ended the event on purpose", "see the filter of its route")
        elif not state.broken:
            self.stage("✗", YELLOW, "transformed", "no route matched", "check `from`, `types` and `where`")
        for broken in state.broken:
            self.stage("✗", RED, "transformed", broken, f"`hookchain dead-letters list{self.where}` shows it")
        for route in state.routes:
            if not route.code:
                targets = f" → {', '.join(route.destinations)}" if route.destinations else ""
                decision = "matched" if route.matched else "did not match"
                detail = printable(f"route {route.route!r} {decision}: {route.reason}{targets}")
                self.say(f"  {' ' * STAGE_WIDTH}           {self.screen.coloured(detail, DIM)}")

    def _delivery(self, each: DeliveryState) -> None:
        mark, colour = _MARKS[each.state]
        tried = f", attempt {each.attempts}" if each.attempts > 1 or each.state not in _GOOD else ""
        detail = f"{each.destination}{tried}" + (f": {each.detail}" if each.detail else "")
        self.stage(
            mark,
            colour,
            each.state,
            detail,
            _ADVICE.get(each.state, "").format(destination=each.destination, where=self.where),
        )


def follow(
    look: Callable[[], EventState], stages: StagePrinter, longest_seconds: float, sleep: Callable[[], None]
) -> EventState:
    """Return what was known last: once every delivery is settled or scheduled for a retry, or when time is over."""
    while True:
        state = look()
        stages.look(state)
        if state.is_complete or stages.clock() >= longest_seconds:
            return state
        sleep()


def timeout_text(state: EventState, longest_seconds: float, where: str = "") -> tuple[str, str]:
    """Return what did not happen in time, and what to do."""
    within = f"within {longest_seconds:g} s"
    if state.expected is None:
        return (
            f"transform did not process it {within}",
            f"`hookchain status{where}` shows the backlog; `hookchain logs{where}` may show why",
        )
    lacking = state.expected - sum(each.state != PENDING for each in state.deliveries)
    detail = f"{lacking} of {count_of(state.expected, 'delivery', 'deliveries')} without an attempt {within}"
    return (
        detail,
        f"`hookchain status{where}` shows the backlog; `hookchain logs --function notify{where}` may show why",
    )
