"""The read side of the journal, which is the same on every platform: its rows, and the rules of a text search."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, get_args

from deploy.history.local_requests import RequestEntry
from shared import journal, jsontext, outcomes

STATUSES: Final[tuple[outcomes.EventStatus, ...]] = get_args(outcomes.EventStatus)

MAX_LETTERS_OF_EVENT: Final = 100_000
"""The most dead letters of an event that are read and erased: as many as the deliveries that the ledger lists."""
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"
"""The states of a dead letter after a decision. One that fails again after its replay is `kept` again."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A query for a page of events, newest first. Times are Unix seconds.

    type    an event type, or its beginning followed by `*`
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
class RequestRow(RequestEntry):
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


@dataclass(frozen=True, slots=True)
class Bucket:
    """The counts of one interval, which begins at `at`.

    `p50_ms` and `p95_ms` are percentiles of the latency, from receive's answer to the destination's. They are those of
    the deliveries whose first attempt succeeded; None without any.
    """

    at: float
    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    not_delivered: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


class AttemptTimes(NamedTuple):
    """An attempt as it is counted. `source` is empty and `received_at` is None if the event is deleted.

    is_first  it is the first attempt of its delivery, before any replay
    """

    seq: int
    ended_at: float
    outcome: str
    is_first: bool
    destination: str
    source: str
    received_at: float | None


class Span(NamedTuple):
    """The time of a chart: it begins at `since` and has buckets of `width` seconds."""

    since: float
    width: float
    buckets: int

    def number_of(self, seconds: float) -> int:
        return int((seconds - self.since) / self.width)


def span_of(now: float, span_seconds: float, count: int) -> Span:
    """Return the span that ends now. A bucket has the same edges in each call."""
    width = span_seconds / count
    return Span((math.floor(now / width) + 1 - count) * width, width, count)


REPLAYED_SECONDS: Final = 60
"""An event that was processed again so long after it was received was replayed: what is delivered then was not late."""


def make_buckets(
    span: Span,
    requests: list[tuple[int, float, float]],
    attempts: list[tuple[int, float, float]],
    latencies: list[tuple[int, float]],
) -> tuple[Bucket, ...]:
    """Return the buckets of the span. The counts and the latency in each row follow the number of its bucket."""
    request_counts = {number: (int(good), int(bad)) for number, good, bad in requests}
    attempt_counts = {number: (int(good), int(bad)) for number, good, bad in attempts}
    seconds: dict[int, list[float]] = {}
    for number, latency in latencies:
        seconds.setdefault(number, []).append(latency)
    buckets: list[Bucket] = []
    for number in range(span.buckets):
        accepted, rejected = request_counts.get(number, (0, 0))
        delivered, not_delivered = attempt_counts.get(number, (0, 0))
        p50_ms, p95_ms = (_percentile_ms(seconds.get(number, []), share) for share in (0.5, 0.95))
        at = span.since + number * span.width
        buckets.append(Bucket(at, accepted, rejected, delivered, not_delivered, p50_ms, p95_ms))
    return tuple(buckets)


def _percentile_ms(seconds: list[float], share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(max(0.0, ordered[min(len(ordered) - 1, int(len(ordered) * share))]) * 1000, 1)


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
    """The journal of one deployment, to read.

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
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]: ...

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

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        """Return the last `span_seconds` in `count` buckets, oldest first."""

    def counts(self) -> dict[str, int]:
        """Return the number of events by status, of all events or of the newest; only of statuses that have events."""

    def totals(self) -> Totals: ...

    def erase(self, event_ids: Sequence[str]) -> None:
        """Erase the events' bodies, subjects and actors, their attempts' answers, and their dead letters' messages.

        The rows stay. The dead letters are dropped, because nothing can be replayed.
        """

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:
        """Return how many attempts have a reason or an answer, of deliveries as pairs of an event's id and their own.

        Attempts that the ledger has are not counted.
        """

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:
        """Erase the reasons and answers of the deliveries' attempts. Attempts that the ledger has stay."""

    def close(self) -> None: ...
