"""The status that `hookchain status` prints, as data, and the parts of it that every platform reads the same way."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.destinations import MAX_SHOWN, DestinationView, read_destinations
from deploy.history.journal_view import EventQuery, JournalView
from deploy.history.source_health import Outside, SourceFacts, health_document, read_facts
from deploy.history.state import State, configured_destinations, configured_name
from shared import delivery, retention
from shared.jsontext import Json, JsonObject, mappings_at
from shared.ledger import DestinationState, Ledger, LedgerRow
from shared.subscribers.names import endpoint_name
from shared.times import time_text

MAX_COUNTED: Final = 500
MAX_RETRYING: Final = 100
MAX_HELD: Final = 1_000
MAX_SEARCHED: Final = 100
"""This many of the newest held deliveries are searched for destinations that the configuration no longer has."""


@dataclass(frozen=True, slots=True)
class Version:
    """The running version of one function, or of `hookchain dev`. `trouble` is empty where it serves."""

    name: str
    version: str
    since: float | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """The events of a source: the last one's time, and the last day's count; with `is_more`, there are more.

    silence_seconds  after how long without an event there is an alert; None without `silence`
    quiet_since      the last event's time, where there was none for longer than that
    facts            the facts that its health follows from; None if they are not known
    """

    source: str
    last_at: float | None
    day_count: int
    is_more: bool = False
    silence_seconds: float | None = None
    quiet_since: float | None = None
    facts: SourceFacts | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting messages of one subscription and the age of the oldest; None if it is not known.

    delayed  how many others the bus keeps back until their time
    """

    subscription: str
    count: int | None
    oldest_seconds: float | None
    delayed: int = 0


@dataclass(frozen=True, slots=True)
class Retrying:
    """The deliveries to a destination that will be retried; those to endpoints count for the one that they are of.

    reason     the newest one's, of those that wait in no group if there are any
    is_more    there are more than `count`
    unknown    how many the destination may have accepted: the last attempt got no response
    grouped    how many wait in a group, for its digest
    endpoints  how many endpoints they are to
    """

    destination: str
    count: int
    reason: str
    is_more: bool = False
    unknown: int = 0
    grouped: int = 0
    endpoints: int = 0


@dataclass(frozen=True, slots=True)
class WaitingRoutes:
    """The events for which a route waits. `reason` is the newest one's, `next_at` the time of the next run.

    `is_more`: there are more than `count`.
    """

    route: str
    count: int
    reason: str
    next_at: float | None
    is_more: bool = False

    def document(self) -> JsonObject:
        return {
            "route": self.route,
            "count": self.count,
            "more": self.is_more,
            "reason": self.reason,
            "next_run": time_text(self.next_at),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status, or the part that journal and ledger have.

    `held` has documents of `held_destinations`; `notes` say what could not be read, and why. The health of sources is
    that at `at`; `where` is the options of the deployment, for suggested commands.
    """

    versions: Sequence[Version] = ()
    sources: Sequence[SourceActivity] = ()
    backlogs: Sequence[Backlog] = ()
    dead_letters: int | None = None
    held: Sequence[JsonObject] = ()
    retrying: Sequence[Retrying] = ()
    waiting_routes: Sequence[WaitingRoutes] = ()
    destinations: Sequence[DestinationView] = ()
    notes: Sequence[str] = ()
    at: float = 0.0
    where: str = ""

    def document(self) -> JsonObject:
        versions: list[Json] = [
            {
                "name": each.name,
                "version": each.version,
                "since": time_text(each.since),
                "trouble": each.trouble or None,
            }
            for each in self.versions
        ]
        sources: list[Json] = [
            {
                **(health_document(each.facts, self.at, self.where) if each.facts else {}),
                "source": each.source,
                "last_at": time_text(each.last_at),
                "last_day": each.day_count,
                "more": each.is_more,
                "silence_seconds": each.silence_seconds,
                "quiet_since": time_text(each.quiet_since),
            }
            for each in self.sources
        ]
        backlogs: list[Json] = [
            {
                "subscription": each.subscription,
                "waiting": each.count,
                "delayed": each.delayed,
                "oldest_seconds": each.oldest_seconds,
            }
            for each in self.backlogs
        ]
        retrying: list[Json] = [
            {
                "destination": each.destination,
                "count": each.count,
                "more": each.is_more,
                "unknown": each.unknown,
                "grouped": each.grouped,
                "endpoints": each.endpoints,
                "reason": each.reason,
            }
            for each in self.retrying
        ]
        return {
            "versions": versions,
            "sources": sources,
            "backlog": backlogs,
            "dead_letters": self.dead_letters,
            "held": list(self.held),
            "retry_scheduled": retrying,
            "waiting_routes": [each.document() for each in self.waiting_routes],
            "destinations": [each.document() for each in self.destinations],
            "notes": list(self.notes),
        }


def silences_of(notify: JsonObject) -> dict[str, float]:
    """Return after how many seconds each source counts as quiet, by notify's slice."""
    return {
        name: float(after)
        for name, each in mappings_at(notify, "alerts", "silence").items()
        if isinstance(after := each.get("after_seconds"), int | float)
    }


def read_stored_status(
    state: State, receive: JsonObject, now: float, silences: Mapping[str, float], outside: Outside, where: str = ""
) -> Status:
    """Read journal and ledger. `silences`: as silences_of. Raises HookchainError and sqlite3.Error."""
    held, waiting, destinations = asyncio.run(_deliveries(state, now))
    facts = read_facts(state.reader, receive, silences, outside)
    count = len(configured_destinations(state.notify_slice()))
    notes = [f"what waits for the destinations after the first {MAX_SHOWN} of {count:,}"] if count > MAX_SHOWN else []
    return Status(
        sources=[_activity(state.reader, each, now, silences.get(each.source)) for each in facts],
        dead_letters=state.reader.totals().dead_letters,
        held=held,
        retrying=count_retrying(waiting),
        waiting_routes=count_waiting_routes(waiting),
        destinations=destinations,
        notes=notes,
        at=now,
        where=where,
    )


async def _deliveries(
    state: State, now: float
) -> tuple[list[JsonObject], Sequence[LedgerRow], Sequence[DestinationView]]:
    notify = state.notify_slice()
    configured = configured_destinations(notify)
    async with state.ledger() as ledger:
        held = await held_destinations(ledger, configured, now)
        rows = await ledger.rows(MAX_RETRYING, state="retry_scheduled")
        destinations = await read_destinations(ledger, configured, now, notify)
    return held, rows, destinations


def count_waiting_routes(rows: Sequence[LedgerRow]) -> list[WaitingRoutes]:
    """Count the waiting routes by name, of the newest MAX_RETRYING rows that wait. The newest speaks for its route."""
    by_route: dict[str, list[LedgerRow]] = {}
    for row in rows:
        if row.destination == delivery.ROUTE_ITSELF:
            by_route.setdefault(row.route, []).append(row)
    is_more = len(rows) == MAX_RETRYING
    return [
        WaitingRoutes(route, len(own), own[0].reason, min(filter(None, [each.retry_at for each in own])), is_more)
        for route, own in by_route.items()
    ]


def count_retrying(rows: Sequence[LedgerRow]) -> list[Retrying]:
    """Count by destination. The newest row speaks for it, those in groups only where there are no others."""
    is_more = len(rows) == MAX_RETRYING
    rows = [row for row in rows if row.destination != delivery.ROUTE_ITSELF]
    speaks_last = sorted(rows, key=lambda row: (not row.group, row.created_at))
    reasons = {configured_name(row.destination): row.reason for row in speaks_last}
    counts = Counter(configured_name(row.destination) for row in rows)
    unknown = Counter(configured_name(row.destination) for row in rows if row.unknown_count)
    grouped = Counter(configured_name(row.destination) for row in rows if row.group)
    endpoints = Counter(name.destination for each in {row.destination for row in rows} if (name := endpoint_name(each)))
    return [
        Retrying(name, count, reasons[name], is_more, unknown[name], grouped[name], endpoints[name])
        for name, count in counts.items()
    ]


def _activity(reader: JournalView, facts: SourceFacts, now: float, after: float | None) -> SourceActivity:
    day_began, last_at = now - retention.DAY_SECONDS, facts.last_at
    if last_at is None or last_at < day_began:
        count, is_more = 0, False
    else:
        page = reader.events(EventQuery(source=facts.source, since=day_began, limit=MAX_COUNTED))
        count, is_more = len(page.events), page.next_before is not None
    is_quiet = after is not None and last_at is not None and now - last_at > after
    return SourceActivity(facts.source, last_at, count, is_more, after, last_at if is_quiet else None, facts)


async def held_destinations(ledger: Ledger, names: Iterable[str], now: float) -> list[JsonObject]:
    """Return the destinations that are held or paused, as documents; `count` deliveries wait, at most MAX_HELD."""
    held: list[JsonObject] = []
    newest = await ledger.rows(MAX_SEARCHED, state="held")
    for name in dict.fromkeys([*names, *(row.destination for row in newest)]):
        state = await ledger.destination_state(name)
        waiting = await ledger.rows(MAX_HELD, destination=name, state="held")
        if state.disabled_reason is not None or waiting:
            reason = state.disabled_reason or waiting[0].reason
            oldest = min((row.updated_at for row in waiting), default=None)
            held.append(held_document(name, state, reason, len(waiting), oldest))
        elif state.paused_until is not None and state.paused_until > now:
            held.append(held_document(name, state, None, 0))
    return held


def held_document(
    name: str, state: DestinationState, reason: str | None, count: int, since: float | None = None
) -> JsonObject:
    """Return what is known of a destination that takes nothing. `since` is when its oldest delivery was held."""
    return {
        "destination": name,
        "reason": reason,
        "count": count,
        "since": time_text(since),
        "paused_until": time_text(state.paused_until),
        "pause_reason": state.pause_reason or None,
        "act": "release" if state.disabled_reason is None else "resume",
    }
