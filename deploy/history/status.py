"""The status that `hookchain status` prints, as data, and the parts of it that every platform reads the same way."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history.destinations import MAX_SHOWN, DestinationView, read_destinations
from deploy.history.journal_view import EventQuery, JournalView
from deploy.history.source_health import Outside, SourceFacts, health_document, read_facts
from deploy.history.state import State, configured_destinations, configured_name
from functions.notify.registry import SUBSCRIBERS
from shared import batching, delivery, ledger_rules, retention, times
from shared.jsontext import Json, JsonObject, mappings_at
from shared.ledger import DestinationState, Ledger, LedgerRow
from shared.subscribers.names import endpoint_name

MAX_COUNTED: Final = 500
"""The most events of the last day that are counted of each source."""
MAX_RETRYING: Final = 100
"""The number of newest waiting deliveries that are counted, of all destinations together."""
NOT_CONFIGURED: Final = "no longer in the configuration: add it again, or its deliveries become dead letters"
"""The beginning of the reason of a destination that was removed or renamed."""
MAX_HELD: Final = 1_000
"""The most held deliveries that are read at once: of all destinations, or of each if there are more."""
MAX_SEARCHED: Final = 100
"""The number of newest held deliveries that are searched for destinations that the configuration no longer has."""


@dataclass(frozen=True, slots=True)
class Version:
    """The running version of one function, or of `hookchain dev`. `trouble` is empty if it serves."""

    name: str
    version: str
    since: float | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """The events of a source.

    last_at          the time of its last event
    day_count        the number of its events in the last day; if `is_more`, there are more
    silence_seconds  the time without an event after which there is an alert; None without `silence`
    quiet_since      the time of its last event if that is longer ago than `silence_seconds`, otherwise None
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
    """The waiting messages of one subscription.

    count           the number of messages that may be delivered now; None if it is not known
    oldest_seconds  the age of the oldest message; None if there is none, or it is not known
    delayed         the number of further messages that the bus keeps until they are due
    """

    subscription: str
    count: int | None
    oldest_seconds: float | None
    delayed: int = 0


@dataclass(frozen=True, slots=True)
class Retrying:
    """The deliveries to a destination, or to the endpoints of a `subscribers` destination, that will be retried.

    reason     the reason of the newest delivery that is in no group, or of the newest if all are in groups
    is_more    there may be more than `count`
    unknown    the number of deliveries that the destination may have accepted: the last attempt got no response
    grouped    the number of deliveries that wait in a group, for its digest
    endpoints  the number of endpoints that the deliveries go to
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
    """The events for which a route waits.

    reason   the reason of the newest one
    next_at  the time of the next run, in Unix seconds
    is_more  there may be more than `count`
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
            "next_run": times.time_text(self.next_at),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status, or the part of it that the journal and the ledger have.

    held   the documents that `held_destinations` returns
    notes  the parts that could not be read, with the reasons
    at     the time, in Unix seconds, for which the health of sources is judged
    where  the options of the deployment, for suggested commands
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
                "since": times.time_text(each.since),
                "trouble": each.trouble or None,
            }
            for each in self.versions
        ]
        sources: list[Json] = [
            {
                **(health_document(each.facts, self.at, self.where) if each.facts else {}),
                "source": each.source,
                "last_at": times.time_text(each.last_at),
                "last_day": each.day_count,
                "more": each.is_more,
                "silence_seconds": each.silence_seconds,
                "quiet_since": times.time_text(each.quiet_since),
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
    """Return, by source, the seconds without an event after which it counts as quiet, from notify's slice."""
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
    notes += waiting.notes(destinations)
    return Status(
        sources=[_activity(state.reader, each, now, silences.get(each.source)) for each in facts],
        dead_letters=state.reader.totals().dead_letters,
        held=held,
        retrying=count_retrying(waiting.newest, destinations),
        waiting_routes=count_waiting_routes(waiting.route_rows),
        destinations=destinations,
        notes=notes,
        at=now,
        where=where,
    )


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """The rows of deliveries that will be retried, newest first, at most MAX_RETRYING of each.

    newest      of all destinations and endpoints together: endpoints cannot be found by their destination
    route_rows  of the routes that wait
    """

    newest: Sequence[LedgerRow]
    route_rows: Sequence[LedgerRow]

    @property
    def is_cut(self) -> bool:
        """Return whether there may be more than `newest`."""
        return len(self.newest) >= MAX_RETRYING

    def notes(self, views: Sequence[DestinationView]) -> list[str]:
        """Return what may wait and was not read."""
        notes: list[str] = []
        if self.is_cut and any(view.kind == SUBSCRIBERS for view in views):
            notes.append(f"what waits for endpoints, except for the newest {MAX_RETRYING} waiting deliveries")
        if len(self.route_rows) >= MAX_RETRYING:
            notes.append(f"what waits for routes, except for the newest {MAX_RETRYING} events")
        return notes


async def read_waiting(ledger: Ledger) -> WaitingRows:
    """Return the rows of what waits now. Raises Temporary."""
    newest = await ledger.rows(MAX_RETRYING, state=ledger_rules.RETRY_SCHEDULED)
    route_rows = await ledger.rows(MAX_RETRYING, destination=delivery.ROUTE_ITSELF, state=ledger_rules.RETRY_SCHEDULED)
    return WaitingRows(newest, route_rows)


async def _deliveries(state: State, now: float) -> tuple[list[JsonObject], WaitingRows, Sequence[DestinationView]]:
    notify = state.notify_slice()
    configured = configured_destinations(notify)
    async with state.ledger() as ledger:
        held = await held_destinations(ledger, configured, now)
        waiting = await read_waiting(ledger)
        destinations = await read_destinations(ledger, configured, now, notify)
    return held, waiting, destinations


def count_waiting_routes(rows: Sequence[LedgerRow]) -> list[WaitingRoutes]:
    """Count the waiting rows of each route. `rows` are the newest MAX_RETRYING of them, newest first."""
    by_route = batching.grouped((row.route, row) for row in rows if row.destination == delivery.ROUTE_ITSELF)
    is_more = len(rows) >= MAX_RETRYING
    waiting_routes: list[WaitingRoutes] = []
    for route, own in by_route.items():
        next_at = min((each.retry_at for each in own if each.retry_at is not None), default=None)
        waiting_routes.append(WaitingRoutes(route, len(own), own[0].reason, next_at, is_more))
    return waiting_routes


def count_retrying(newest: Sequence[LedgerRow], views: Sequence[DestinationView]) -> list[Retrying]:
    """Count the waiting deliveries of each destination.

    `newest` are the newest MAX_RETRYING waiting rows of all destinations. They are used for those without a view, which
    are not configured, or of which there are more than MAX_SHOWN.
    """
    view_by_name = {view.name: view for view in views}
    without_view = [row for row in newest if row.destination not in (*view_by_name, delivery.ROUTE_ITSELF)]
    view_rows = [row for view in views for row in view.waiting_rows if row.state == ledger_rules.RETRY_SCHEDULED]
    rows_by_name = batching.grouped((configured_name(row.destination), row) for row in (*view_rows, *without_view))
    retrying: list[Retrying] = []
    for name, rows in rows_by_name.items():
        view = view_by_name.get(name)
        endpoints = {row.destination for row in rows if endpoint_name(row.destination)}
        # A row in a group has no reason of its own. If all rows are in groups, one of them is shown.
        newest_ungrouped = max(rows, key=lambda row: (not row.group, row.created_at))
        # A view does not contain what waits for the endpoints of its destination, which only `newest` does.
        has_whole_view = view is not None and not endpoints
        is_removed = view is None and not endpoints and len(views) < MAX_SHOWN
        retrying.append(
            Retrying(
                destination=name,
                count=len(rows),
                reason=f"{NOT_CONFIGURED}; {newest_ungrouped.reason}" if is_removed else newest_ungrouped.reason,
                is_more=view.is_more if view and has_whole_view else len(newest) >= MAX_RETRYING,
                unknown=sum(bool(row.unknown_count) for row in rows),
                grouped=sum(bool(row.group) for row in rows),
                endpoints=len(endpoints),
            )
        )
    return retrying


def _activity(reader: JournalView, facts: SourceFacts, now: float, silence_seconds: float | None) -> SourceActivity:
    day_began = now - retention.DAY_SECONDS
    last_at = facts.last_at
    count = 0
    is_more = False
    if last_at is not None and last_at >= day_began:
        page = reader.events(EventQuery(source=facts.source, since=day_began, limit=MAX_COUNTED))
        count = len(page.events)
        is_more = page.next_before is not None
    is_quiet = silence_seconds is not None and last_at is not None and now - last_at > silence_seconds
    return SourceActivity(
        source=facts.source,
        last_at=last_at,
        day_count=count,
        is_more=is_more,
        silence_seconds=silence_seconds,
        quiet_since=last_at if is_quiet else None,
        facts=facts,
    )


async def held_destinations(ledger: Ledger, names: Iterable[str], now: float) -> list[JsonObject]:
    """Return the destinations that are disabled, paused, or have held deliveries, as documents.

    `names` are those of the configuration; none if it is not known.
    `count` is the number of held deliveries, at most MAX_HELD. One call reads the newest MAX_HELD of all destinations.
    If there may be more, each destination is read by itself.
    """
    newest = await ledger.rows(MAX_HELD, state=ledger_rules.HELD)
    configured = list(names)
    all_names = [*dict.fromkeys([*configured, *(row.destination for row in newest)])]
    states = await asyncio.gather(*map(ledger.destination_state, all_names))
    held: list[JsonObject] = []
    for name, state in zip(all_names, states, strict=True):
        rows = [row for row in newest if row.destination == name]
        if len(newest) >= MAX_HELD:  # older rows may have been left out
            rows = [*await ledger.rows(MAX_HELD, destination=name, state=ledger_rules.HELD)]
        if state.disabled_reason is not None or rows:
            reason = state.disabled_reason or rows[0].reason
            if configured and configured_name(name) not in configured:
                reason = f"{NOT_CONFIGURED}; {reason}"
            oldest_at = min((row.updated_at for row in rows), default=None)
            held.append(held_document(name, state, reason, len(rows), oldest_at))
        elif state.paused_until is not None and state.paused_until > now:
            held.append(held_document(name, state, None, 0))
    return held


def held_document(
    name: str, state: DestinationState, reason: str | None, count: int, since: float | None = None
) -> JsonObject:
    """Return the document of a destination that takes no deliveries.

    `reason` is None if it is only paused. `since` is the time at which its oldest delivery was held, in Unix seconds.
    """
    return {
        "destination": name,
        "reason": reason,
        "count": count,
        "since": times.time_text(since),
        "paused_until": times.time_text(state.paused_until),
        "pause_reason": state.pause_reason or None,
        "act": "release" if state.disabled_reason is None else "resume",
    }
