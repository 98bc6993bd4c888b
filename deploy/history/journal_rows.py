"""What the journal's readers get: its rows as typed values."""

from dataclasses import dataclass
from typing import Final

from shared.journal import KEPT as KEPT
from shared.journal import AttemptEntry, RouteDecision
from shared.jsontext import JsonObject

STATUSES: Final = (
    *("received", "unmatched", "stopped", "duplicate", "delivering", "delivered", "retrying", "held", "failed"),
)
"""Of an event: one word for where it is. No route wanted what is unmatched; what is stopped, one ended on purpose; a
duplicate has the signed bytes of an event that came before it."""

REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"
"""What was decided about a dead letter. One that fails again after its replay is kept again."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Newest first. `text`: every word, as the beginning of one in the event. Times are Unix seconds.

    `type` may end in `*`. `before` is the `next_before` of the page read last.
    """

    source: str | None = None
    type: str | None = None
    status: str | None = None
    text: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 50
    before: int | None = None


@dataclass(frozen=True, slots=True)
class EventSummary:
    """`status` is one of STATUSES. `type` is unknown until transform has seen it."""

    seq: int
    id: str
    source: str
    type: str | None
    subject: str | None
    actor: str | None
    received_at: float
    routed_at: float | None
    expected: int
    status: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """`next_before` where there is more. `not_indexed`: so many events a search by text could not see yet."""

    events: tuple[EventSummary, ...]
    next_before: int | None = None
    not_indexed: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Refused requests, and dead letters that are kept."""

    refused: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as receive logged it; `code` and `detail` say why one was refused."""

    seq: int
    at: float
    method: str
    status: int
    code: str | None
    source: str
    event_id: str | None
    type: str | None
    detail: str
    bytes: int | None
    duration_ms: float | None


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """`state` is kept, replayed or dropped."""

    seq: int
    id: str
    code: str
    reason: str
    at: float
    message: bytes
    topic: str
    event_id: str
    route: str
    destination: str
    state: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """All the journal knows of one event. `document` is its CloudEvent, None before transform has seen it, or after
    its body's retention is over. `passes`: how often transform saw it."""

    summary: EventSummary
    document: JsonObject | None
    routes: tuple[RouteDecision, ...]
    passes: int
    requests: tuple[RequestRow, ...]
    attempts: tuple[AttemptEntry, ...]
    dead_letters: tuple[DeadLetterRow, ...]
