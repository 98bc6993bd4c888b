"""A journal as the page and the commands use it on every platform.

Here are its rows, the queries for them, `JournalView`, which each platform implements, and the rules of a text search.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from deploy.history import chart, local_requests
from shared import journal, jsontext, outcomes

STATUSES: Final[tuple[outcomes.EventStatus, ...]] = get_args(outcomes.EventStatus)
UNFINISHED: Final = "unfinished"
"""The filter for the events with one of UNFINISHED_STATUSES."""
UNFINISHED_STATUSES: Final[tuple[outcomes.EventStatus, ...]] = (
    "received",
    "delivering",
    "waiting",
    "retry_scheduled",
    "held",
)

MAX_LETTERS_OF_EVENT: Final = 100_000
"""The most dead letters of an event that are read and erased: as many as the deliveries that the ledger lists."""
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"
"""The states of a dead letter after a decision. One that fails again after its replay is `kept` again."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A query for a page of events, newest first. Times are Unix seconds.

    type    an event type, or its beginning followed by `*`
    status  one of STATUSES, or UNFINISHED
    text    words, of which each must be the beginning of a word in the event
    before  the `next_before` of the page that was read last; None for the first page
    """

    source: str | None = None
    type: str | None = None
    status: str | None = None
    text: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 50
    before: int | None = None

    @property
    def statuses(self) -> tuple[str, ...]:
        """Return the statuses of the events to list; empty if all are listed."""
        if self.status == UNFINISHED:
            return UNFINISHED_STATUSES
        return (self.status,) if self.status else ()


@dataclass(frozen=True, slots=True)
class EventSummary:
    """An event in a list. `status` is one of STATUSES. `type` is None until transform has processed the event.

    `expected` is the number of deliveries that its routes have made.
    """

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
    """A page of events.

    next_before  the `before` of the next page; None if this is the last page
    not_indexed  the number of new events that a search by text could not search yet
    """

    events: tuple[EventSummary, ...]
    next_before: int | None = None
    not_indexed: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts of rejected requests, and of dead letters that are kept."""

    rejected: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RequestRow(local_requests.RequestEntry):
    """A logged request in the journal."""

    seq: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterRow(journal.DeadLetter):
    """A dead letter in the journal. `state` is kept, replayed or dropped."""

    seq: int = 0
    state: str = journal.KEPT


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Everything that the journal knows about one event.

    document      its CloudEvent; None before transform has processed it, and after its body's retention is over
    routes        the decisions that the journal lists
    passes        the number of times that transform has processed it
    other_routes  the number of routes that the journal does not list
    spans         what receive and transform did and when; none without telemetry
    """

    summary: EventSummary
    document: jsontext.JsonObject | None
    routes: tuple[journal.RouteDecision, ...]
    passes: int
    requests: tuple[RequestRow, ...]
    attempts: tuple[journal.AttemptEntry, ...]
    dead_letters: tuple[DeadLetterRow, ...]
    other_routes: int = 0
    spans: tuple[jsontext.JsonObject, ...] = ()


_ESCAPES: Final = re.compile(r'\\(?:u[0-9a-f]{4}|[\\"/bfnrt])')
_WORD: Final = re.compile(r'"([^"]*)"|(\S+)')


def readable(document: str) -> str:
    """Return JSON text with a space for each escape, which would otherwise join the words on its two sides."""
    return _ESCAPES.sub(" ", document)


def search_words(text: str) -> tuple[str, ...]:
    """Return the words of a search text. "Double quotes" join words. A word without a letter or digit is ignored."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    found = (match[1] or match[2] or "" for match in _WORD.finditer(printable))
    return tuple(word for word in found if any(character.isalnum() for character in word))


def holds(document: str, words: tuple[str, ...]) -> bool:
    """Return whether each of the words is the beginning of a word in the document, regardless of case."""
    text = readable(document)
    return all(re.search(rf"(?<!\w){re.escape(word)}", text, re.IGNORECASE) for word in words)


class JournalView(Protocol):
    """The journal of one deployment. Besides reading, it marks dead letters and erases: functions write all the rest.

    The methods block, so call them in a thread if there is an event loop. Lists are newest first, with at most `limit`
    rows that are older than `before`.
    """

    def version(self) -> int:
        """Return a number that changes with each write."""

    def index(self) -> int:
        """Index the next new events for searches by text, and return their number; 0 if a search needs no index."""

    def events(self, query: EventQuery) -> EventPage:
        """Return a page. It may have fewer events than `limit`, or none, although more follow: a search has a limit."""

    def event(self, event_id: str) -> EventRecord | None: ...

    def rejected(self, limit: int, before: int | None = None, source: str | None = None) -> tuple[RequestRow, ...]:
        """Return the requests that were answered with 4xx or 503; none if only receive's log has them."""

    def dead_letters(
        self, limit: int, *, state: str | None = journal.KEPT, before: int | None = None
    ) -> tuple[DeadLetterRow, ...]:
        """Return the dead letters in that state; in any state if it is None."""

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None: ...

    def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]:
        """Return the event's dead letters, oldest first, also if the event itself is not listed any more."""

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        """Store the state of dead letters, and return the number of those that were in another state before."""

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]: ...

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Return the ids that have a `stored_document`, without reading it."""

    def stored_document(self, event_id: str) -> str | None:
        """Return the CloudEvent as JSON text; None before transform has processed it, and after its retention."""

    def series(self, now: float, span_seconds: float, count: int) -> tuple[chart.Bucket, ...]:
        """Return the last `span_seconds` in `count` buckets, oldest first."""

    def counts(self) -> dict[str, int]:
        """Return the number of events by status, of all events or of the newest; only of statuses that have events."""

    def totals(self) -> Totals: ...

    def erase(self, event_ids: Sequence[str]) -> None:
        """Erase the events' bodies, subjects and actors, their attempts' answers, and their dead letters' messages.

        The rows stay. The dead letters are dropped, because nothing can be replayed.
        """

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:
        """Return how many attempts of these deliveries have a reason or an answer.

        `deliveries` are pairs: the id of an event, and of its delivery. Attempts that the ledger has are not counted.
        """

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:
        """Erase the reasons and answers of the deliveries' attempts. Attempts that the ledger has stay."""

    def close(self) -> None: ...
