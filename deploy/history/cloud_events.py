"""Events as a cloud's database keeps them, and a search among them, which reads one after the other."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Final, NamedTuple

from deploy.history.journal_view import (
    REPLAYED,
    DeadLetterRow,
    EventPage,
    EventQuery,
    EventRecord,
    EventSummary,
    holds,
    search_words,
)
from shared import ledger_rules as rules
from shared.delivery import ROUTE_ITSELF
from shared.journal import decisions_from, other_routes_from
from shared.jsontext import Json, JsonObject
from shared.ledger import LedgerRow

CHUNK: Final = 100
MAX_CHUNKS: Final = 10
"""The chunks of events that one page of a search looks through. Each event costs a read, its body another."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event without its body. `key` is its document's name; `entry` is what shared/cloud/journal_entries.py made."""

    key: str
    id: str
    entry: JsonObject
    passes: int = 0


class Chunk(NamedTuple):
    """Events that match a query's source, type and times. `before`: where the next ones begin; None after the last."""

    events: Sequence[StoredEvent]
    before: int | None


class States(NamedTuple):
    """The states of events' deliveries and of their dead letters, by event."""

    deliveries: Mapping[str, Sequence[str]]
    letters: Mapping[str, Sequence[str]]


class EventSearch(ABC):
    @abstractmethod
    async def _chunk(self, query: EventQuery, before: int | None) -> Chunk:
        """Read the newest events that are older than `before`."""

    @abstractmethod
    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the events' CloudEvents, as JSON text, by key: those that there are."""

    @abstractmethod
    async def _states(self, ids: Sequence[str]) -> States: ...

    async def events(self, query: EventQuery) -> EventPage:
        """Ends where it is full, where there is no more, or where it has looked through enough."""
        found: list[EventSummary] = []
        before = query.before
        for _ in range(MAX_CHUNKS):
            chunk = await self._chunk(query, before)
            found += await self._matching(query, chunk.events)
            if len(found) > query.limit:
                return EventPage(tuple(found[: query.limit]), found[query.limit - 1].seq)
            if chunk.before is None:
                return EventPage(tuple(found))
            before = chunk.before
        return EventPage(tuple(found), before)

    async def _matching(self, query: EventQuery, events: Sequence[StoredEvent]) -> list[EventSummary]:
        if words := search_words(query.text):
            documents = await self._documents([each.key for each in events])
            events = [each for each in events if holds(documents.get(each.key, ""), words)]
        return [each for each in await self._summaries(events) if query.status in (None, each.status)]

    async def _summaries(self, events: Sequence[StoredEvent]) -> list[EventSummary]:
        if not events:
            return []
        states = await self._states([each.id for each in events])
        return [
            summary_of(each, status_of(each.entry, states.deliveries.get(each.id, ()), states.letters.get(each.id, ())))
            for each in events
        ]

    async def _record(
        self, event: StoredEvent, rows: Sequence[LedgerRow], letters: tuple[DeadLetterRow, ...]
    ) -> EventRecord:
        states = [state for row in rows if (state := speaking_state(row.destination, row.state, row.attempt_number))]
        status = status_of(event.entry, states, [letter.state for letter in letters])
        attempts = chain.from_iterable(row.attempts for row in rows)
        document: Json = json.loads((await self._documents([event.key])).get(event.key) or "null")
        return EventRecord(
            summary=summary_of(event, status),
            document=document if isinstance(document, dict) else None,
            routes=decisions_from(event.entry["routes"]),
            passes=event.passes,
            requests=(),
            attempts=tuple(sorted(attempts, key=lambda each: (each.ended_at, each.delivery_id))),
            dead_letters=letters,
            other_routes=other_routes_from(event.entry["routes"]),
        )

    async def counts(self, newest_events: int) -> dict[str, int]:
        counted: dict[str, int] = {}
        for event in (await self.events(EventQuery(limit=newest_events))).events:
            counted[event.status] = counted.get(event.status, 0) + 1
        return counted


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the second ones by the first."""
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


ROUTE_ENDED: Final = "route_ended"
"""In place of the state of a route that waited to the end of its schedule, or until its event was forgotten."""


WAITING: Final = "waiting"
"""In place of the state of a delivery that waits without a failed attempt: for a digest, quiet hours or its turn."""


def speaking_state(destination: str, state: str, attempt_number: int) -> str:
    """Return what a row's state means to its event's status; empty for that of a route that no longer waits."""
    if state == rules.RETRY_SCHEDULED and destination != ROUTE_ITSELF and not attempt_number:
        return WAITING
    if destination != ROUTE_ITSELF or state == rules.RETRY_SCHEDULED:
        return state
    return ROUTE_ENDED if state == rules.DEAD_LETTERED else ""


def status_of(entry: JsonObject, states: Sequence[str], letters: Sequence[str]) -> str:
    """`states` of its deliveries, `letters` those of its dead letters. One that was replayed no longer speaks."""
    expected = entry["expected"]
    assert isinstance(expected, int)
    # A replay of the event may have run the route since: then it does not wait, and the row has its old state.
    has_ended = ROUTE_ENDED in states and any(route.get("waiting") for route in _routes(entry))
    states = [state for state in states if state != ROUTE_ENDED]
    has_failed = entry["broken"] or has_ended or rules.DEAD_LETTERED in states
    if has_failed or any(letter != REPLAYED for letter in letters):
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
    is_open = len(states) < expected or any(state in rules.LEASED for state in states)
    return "delivering" if is_open else "merged" if rules.MERGED in states else "delivered"


def _routes(entry: JsonObject) -> list[JsonObject]:
    routes = entry["routes"]
    assert isinstance(routes, list)
    return [route for route in routes if isinstance(route, dict) and "route" in route]


def summary_of(event: StoredEvent, status: str) -> EventSummary:
    entry = event.entry
    return EventSummary(
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


def matches_query(query: EventQuery, source: object, event_type: object) -> bool:
    """Return whether an event matches the query, whose times the database has applied already."""
    if query.source and query.source != source:
        return False
    if query.type and query.type.endswith("*"):
        pattern = query.type.replace("[", "[[]").replace("?", "[?]")
        return fnmatchcase(str(event_type), pattern)
    return not query.type or query.type == event_type
