"""The read side of a journal in a cloud's database: synchronous methods over ports on an event loop of its own.

The database finds events by time, source and type. A search for anything else reads one event after the other.
"""

import asyncio
import contextlib
import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import wraps
from itertools import chain
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from deploy.history import journal_view
from deploy.history.ports import Port, close_ports
from shared import batching, delivery, ledger, ledger_rules as rules
from shared.cloud.earlier_words import CODES
from shared.journal import decisions_from, other_routes_from, spans_from
from shared.jsontext import Json, JsonObject, objects_at

MARKED_AT_ONCE: Final = 25
"""The number of dead letters that are marked at the same time. Each takes a connection."""
COUNTED_EVENTS: Final = 200
"""The number of newest events whose statuses are counted. To count all would cost a read of each event."""

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
Journal = TypeVar("Journal", bound="CloudJournal")


class _LoopThread:
    """An event loop in a thread of its own, for callers that are not asynchronous or run on another loop.

    `prepare` is awaited before the first work, and again before the next one if it raised an error.
    """

    def __init__(self, prepare: Callable[[], Awaitable[None]] | None) -> None:
        self.prepare = prepare
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        """Wait for the result. Raises what `prepare` and `work` raise."""
        return asyncio.run_coroutine_threadsafe(self._prepared(work), self._loop).result()

    async def _prepared(self, work: Coroutine[None, None, Result]) -> Result:
        with contextlib.closing(work):  # it is never awaited if `prepare` raises an error
            if self.prepare is not None:
                await self.prepare()
                self.prepare = None
            return await work

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


CHUNK: Final = 100
"""The most events of a chunk."""
MAX_CHUNKS: Final = 10
"""The number of chunks of events that are searched for a page. Each event costs a read, its body another."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event without its body. `key` is its document's name; `entry` is what shared/cloud/journal_entries.py made."""

    key: str
    id: str
    entry: JsonObject
    passes: int = 0


class Chunk(NamedTuple):
    """Events that match a query's source, type and times. `before` is that of the next chunk; None after the last."""

    events: Sequence[StoredEvent]
    before: int | None


class States(NamedTuple):
    """The states of the deliveries and of the dead letters of events, by the event's id."""

    deliveries: Mapping[str, Sequence[str]]
    letters: Mapping[str, Sequence[str]]


def on_own_loop(
    method: Callable[Concatenate[Journal, Parameters], Coroutine[None, None, Result]],
) -> Callable[Concatenate[Journal, Parameters], Result]:
    """Turn an asynchronous method into a synchronous one that runs on the journal's own event loop."""

    @wraps(method)
    def call(journal: Journal, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return journal.thread.run(method(journal, *args, **kwargs))

    return call


class CloudJournal(ABC):
    """A JournalView over a cloud's database, whose abstract methods read and write that database.

    Its ports are used here only, because their connections belong to its event loop. `prepare` is awaited before the
    first call. Only receive's log has rejected requests, so this journal has none. The attempts are the ledger's.
    """

    def __init__(self, ports: Sequence[Port], prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        self.thread = _LoopThread(prepare)
        self._ports = ports

    @abstractmethod
    async def _chunk(self, query: journal_view.EventQuery, before: int | None) -> Chunk:
        """Read the newest events that match the query's source, type and times, and whose `seq` is below `before`."""

    @abstractmethod
    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the stored CloudEvents of the events, as JSON text, by key. A body that is gone is left out."""

    @abstractmethod
    async def _states(self, ids: Sequence[str]) -> States:
        """Return the states from which `status_of` derives the statuses of these events."""

    @abstractmethod
    async def _kept_letters(self) -> int:
        """Count the dead letters that are kept, up to a limit."""

    @abstractmethod
    async def _letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return the event's dead letters, oldest first."""

    @abstractmethod
    async def _mark(self, letter_id: str, state: str) -> bool:
        """Store the decision about a dead letter. Return whether it was in another state before."""

    @abstractmethod
    async def _erase_event(self, event_id: str) -> None:
        """Erase the content of the event. Its other facts stay."""

    @abstractmethod
    async def _erase_letters(self, event_id: str) -> None:
        """Erase the messages of the event's dead letters, and drop them."""

    def index(self) -> int:
        return 0

    @on_own_loop
    async def events(self, query: journal_view.EventQuery) -> journal_view.EventPage:
        return await self._events(query)

    async def _events(self, query: journal_view.EventQuery) -> journal_view.EventPage:
        """Return a page. It ends when it is full, after the last event, or after MAX_CHUNKS chunks."""
        found: list[journal_view.EventSummary] = []
        before = query.before
        for _ in range(MAX_CHUNKS):
            chunk = await self._chunk(query, before)
            found += await self._matching(query, chunk.events)
            if len(found) > query.limit:
                return journal_view.EventPage(tuple(found[: query.limit]), found[query.limit - 1].seq)
            if chunk.before is None:
                return journal_view.EventPage(tuple(found))
            before = chunk.before
        return journal_view.EventPage(tuple(found), before)

    async def _matching(
        self, query: journal_view.EventQuery, events: Sequence[StoredEvent]
    ) -> list[journal_view.EventSummary]:
        if words := journal_view.search_words(query.text):
            documents = await self._documents([each.key for each in events])
            events = [each for each in events if journal_view.holds(documents.get(each.key, ""), words)]
        summaries = await self._summaries(events)
        return [each for each in summaries if not query.statuses or each.status in query.statuses]

    async def _summaries(self, events: Sequence[StoredEvent]) -> list[journal_view.EventSummary]:
        if not events:
            return []
        states = await self._states([each.id for each in events])
        return [
            summary_of(each, status_of(each.entry, states.deliveries.get(each.id, ()), states.letters.get(each.id, ())))
            for each in events
        ]

    async def _record(
        self, event: StoredEvent, rows: Sequence[ledger.LedgerRow], letters: tuple[journal_view.DeadLetterRow, ...]
    ) -> journal_view.EventRecord:
        states = [state for row in rows if (state := state_for_status(row.destination, row.state, row.attempt_number))]
        status = status_of(event.entry, states, [letter.state for letter in letters])
        attempts = chain.from_iterable(row.attempts for row in rows)
        document: Json = json.loads((await self._documents([event.key])).get(event.key) or "null")
        return journal_view.EventRecord(
            summary=summary_of(event, status),
            document=document if isinstance(document, dict) else None,
            routes=decisions_from(event.entry["routes"]),
            passes=event.passes,
            requests=(),
            attempts=tuple(sorted(attempts, key=lambda each: (each.ended_at, each.delivery_id))),
            dead_letters=letters,
            other_routes=other_routes_from(event.entry["routes"]),
            spans=spans_from(event.entry["routes"]),
        )

    @on_own_loop
    async def counts(self) -> dict[str, int]:
        newest = await self._events(journal_view.EventQuery(limit=COUNTED_EVENTS))
        return dict(Counter(event.status for event in newest.events))

    @on_own_loop
    async def totals(self) -> journal_view.Totals:
        return journal_view.Totals(0, await self._kept_letters())

    @on_own_loop
    async def letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        return await self._letters_of_event(event_id)

    @on_own_loop
    async def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        """Store the state of dead letters. Return the number of those that were in another state before."""
        count = 0
        for some in batching.batches(ids, MARKED_AT_ONCE):
            count += sum(await asyncio.gather(*(self._mark(each, state) for each in some)))
        return count

    def rejected(
        self,
        limit: int,  # noqa: ARG002 the protocol's, as the others
        before: int | None = None,  # noqa: ARG002
        source: str | None = None,  # noqa: ARG002
    ) -> tuple[journal_view.RequestRow, ...]:
        return ()

    @on_own_loop
    async def erase(self, event_ids: Sequence[str]) -> None:
        """Erase them one after another. If one fails, those before it stay erased."""
        for event_id in event_ids:
            await self._erase_event(event_id)
            await self._erase_letters(event_id)

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:  # noqa: ARG002 the protocol's
        return 0

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:  # noqa: B027 the protocol's
        """Erase nothing: the ledger has all attempts."""

    def close(self) -> None:
        self.thread.prepare = None  # a journal that was never read is not prepared only to be closed
        self.thread.run(close_ports(self._ports))
        self.thread.close()


ROUTE_ENDED: Final = "route_ended"
"""The state of a route that waited until the end of its schedule, or until its event was forgotten."""
WAITING: Final = "waiting"
"""The state of a delivery that waits without a failed attempt: for a digest, quiet hours or its turn."""


def state_for_status(destination: str, state: str, attempt_number: int) -> str:
    """Return the state that a ledger's row gives to its event's status; empty for a route that no longer waits."""
    if destination == delivery.ROUTE_ITSELF:
        if state == rules.RETRY_SCHEDULED:
            return state
        return ROUTE_ENDED if state == rules.DEAD_LETTERED else ""
    is_waiting = state == rules.RETRY_SCHEDULED and not attempt_number
    return WAITING if is_waiting else state


def status_of(entry: JsonObject, states: Sequence[str], letters: Sequence[str]) -> str:
    """Return the status of an event: the first of these that applies.

    dead_lettered             a route or a delivery has failed, or a dead letter was not replayed
    held                      a delivery is held
    retry_scheduled, waiting  a delivery or a route will be tried again; a delivery waits for its first attempt
    filtered                  a route matched, and no delivery was made
    duplicate, no_route       the event is a repeat; no route matched
    delivering                a delivery is not in the ledger yet, or is attempted now
    merged                    all deliveries are done, at least one of them as a part of another delivery
    delivered                 all deliveries are done, none of them as a part of another delivery

    `states` are those of `state_for_status`, `letters` the states of the event's dead letters.
    """
    expected = int(str(entry["expected"]))
    # If a replay has run the route since, the row has its old state, but the event's route does not wait any more.
    has_route_ended = ROUTE_ENDED in states and any(route.get("waiting") for route in _routes(entry))
    states = [state for state in states if state != ROUTE_ENDED]
    has_failed = entry["broken"] or has_route_ended or rules.DEAD_LETTERED in states
    if has_failed or any(letter != journal_view.REPLAYED for letter in letters):
        return "dead_lettered"
    if rules.HELD in states:
        return "held"
    if rules.RETRY_SCHEDULED in states:
        return "retry_scheduled"
    if WAITING in states:
        return "waiting"
    if not expected and not states:
        if any(route["matched"] for route in _routes(entry)):
            return "filtered"
        return "duplicate" if any(not route["route"] for route in _routes(entry)) else "no_route"
    if len(states) < expected or any(state in rules.LEASED for state in states):
        return "delivering"
    return "merged" if rules.MERGED in states else "delivered"


def _routes(entry: JsonObject) -> list[JsonObject]:
    return [route for route in objects_at(entry, "routes") if "route" in route]


def summary_of(event: StoredEvent, status: str) -> journal_view.EventSummary:
    entry = event.entry
    return journal_view.EventSummary(
        seq=int(str(entry["seq"])),
        id=event.id,
        source=str(entry["source"]),
        type=_text(entry["type"]),
        subject=_text(entry["subject"]),
        actor=_text(entry["actor"]),
        received_at=float(str(entry["received_at"])),
        routed_at=float(str(entry["routed_at"])),
        expected=int(str(entry["expected"])),
        status=status,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def matches_query(query: journal_view.EventQuery, source: object, event_type: object) -> bool:
    """Return whether an event matches the query, whose times the database has applied already."""
    if query.source and query.source != source:
        return False
    if query.type and query.type.endswith("*"):
        pattern = query.type.replace("[", "[[]").replace("?", "[?]")
        return fnmatchcase(str(event_type), pattern)
    return not query.type or query.type == event_type


def dead_letter_row(seq: object, state: object, entry: JsonObject, message: object) -> journal_view.DeadLetterRow:
    """Return a stored dead letter. Its message is empty if its blob is gone, because its reason is shown even then."""
    code = str(entry["code"])
    return journal_view.DeadLetterRow(
        seq=int(str(seq)),
        id=str(entry["id"]),
        code=CODES.get(code, code),
        reason=str(entry["reason"]),
        at=float(str(entry["at"])),
        message=message if isinstance(message, bytes) else b"",
        topic=str(entry["topic"]),
        event_id=str(entry["event_id"]),
        route=str(entry["route"]),
        destination=str(entry["destination"]),
        state=str(state),
    )
