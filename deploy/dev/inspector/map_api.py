"""The map with what happens now: GET /api/map?find=…&open=…&all=1&narrow=1.

The states and counts are those of `hookchain status` and of the tabs Sources, Destinations and Dead letters.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from aiohttp import web

from deploy.dev.inspector import api, sources_api
from deploy.dev.local_server import json_answer
from deploy.explain.map import parts, picture, svg
from deploy.explain.map.parts import LEVELS, Kind, Level, Live, RouteInfo, Routing, State, Traffic, number_text
from deploy.history import destinations, journal_view, source_health, status
from deploy.history.state import configured_destinations, configured_name
from deploy.terminal.output import count_of
from functions.notify.registry import SUBSCRIBERS
from functions.notify.waiting.due import waits_for_slot
from shared import delivery, ledger, ledger_rules, retention, times
from shared.jsontext import Json, JsonObject
from shared.subscribers.names import endpoint_name

MAX_LETTERS: Final = 200
"""The newest dead letters that are searched for routes whose steps fail."""
MAX_LISTED: Final = 20
"""More routes than these are grouped by their sources, unless a person asks for each."""
HOUR_SECONDS: Final = 3_600.0
RATE_SECONDS: Final = 300.0
"""The current rate is that of the last five minutes, as on the plots."""
_SOURCE_LEVELS: Final[Mapping[source_health.Word, Level]] = {"failing": "bad", "unregistered": "bad", "quiet": "warn"}
_ENDED: Final = (ledger_rules.DELIVERED, ledger_rules.DEAD_LETTERED)


@dataclass(frozen=True, slots=True)
class MapNow:
    """The map as it is now. `is_reading`: the providers of the sources are still being asked."""

    routing: Routing
    live: Live
    is_reading: bool


@dataclass(slots=True)
class KeptMap:
    """The map as it was read last, for all pages and searches. It is read again after `seconds`."""

    seconds: float = 0.0
    _last: MapNow | None = None
    _read_at: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def newest(self, read: Callable[[], Awaitable[MapNow]]) -> MapNow:
        async with self._lock:
            if self._last is None or time.monotonic() - self._read_at >= self.seconds:
                self._last = await read()
                self._read_at = time.monotonic()
            return self._last


KEPT: Final = web.AppKey("map", KeptMap)


async def _read_map(request: web.Request) -> MapNow:
    backend = request.app[api.BACKEND]
    names = ("receive", "transform", "notify")
    slices = await asyncio.to_thread(lambda: {name: backend.read_slice(name) or {} for name in names})
    notify = slices["notify"]
    whole = parts.read_routing(slices)
    now = time.time()
    facts, is_reading = await sources_api.find_facts(request, slices["receive"], notify)
    configured = configured_destinations(notify)
    views = await destinations.read_destinations(backend.ledger, configured, now, notify, limit=None)
    waiting = await status.read_waiting(backend.ledger)
    held_rows = await backend.ledger.rows(status.MAX_SEARCHED, state=ledger_rules.HELD)
    letters = await backend.in_thread(partial(backend.reader.dead_letters, MAX_LETTERS))
    live = live_map(whole, facts, views, waiting, held_rows, letters, now)
    return MapNow(whole, live, is_reading)


async def show_map(request: web.Request) -> web.Response:
    query = request.query
    read = await request.app[KEPT].newest(partial(_read_map, request))
    live = read.live
    find = query.get("find", "")
    opened = [key for key in query.get("open", "").split(";") if key]
    found = parts.matching(read.routing, find)
    is_long = len(found.routes) > MAX_LISTED
    is_grouped = is_long and not query.get("all")
    rows = parts.rows_of(found, is_grouped=is_grouped, opened=opened)
    columns = picture.NARROW if query.get("narrow") else picture.WIDE

    def open_link(key: str) -> str:
        return picture.page_link("map", find=find, open=";".join([*opened, key]))

    arranged = picture.arrange(found, rows, live, columns, open_link, troubles_first=is_long)
    urgent_first = sorted(found.routes, key=partial(_urgency, live), reverse=True)
    return json_answer(
        {
            "svg": svg.draw(arranged, is_standalone=False),
            "count": len(read.routing.routes),
            "shown": len(found.routes),
            "grouped": is_grouped,
            "asking": read.is_reading,
            "troubles": [*troubles(read.routing, live)],
            "routes": [_route_document(each, live) for each in urgent_first],
        }
    )


def live_map(
    routing: Routing,
    facts: Sequence[source_health.SourceFacts],
    views: Sequence[destinations.DestinationView],
    waiting: status.WaitingRows,
    held_rows: Sequence[ledger.LedgerRow],
    letters: Sequence[journal_view.DeadLetterRow],
    now: float,
) -> Live:
    """Return the states and counts of the map.

    `held_rows` are the newest deliveries that are held, of all destinations and endpoints, and `letters` the newest
    dead letters that are kept, newest first.
    """
    endpoint_rows = [row for row in (*waiting.newest, *held_rows) if endpoint_name(row.destination)]
    is_cut = waiting.is_cut or len(held_rows) >= status.MAX_SEARCHED
    destination_states: dict[tuple[Kind, str], State] = {}
    lines: dict[tuple[str, str], Traffic] = {}
    for view in views:
        own_endpoint_rows = [row for row in endpoint_rows if configured_name(row.destination) == view.name]
        own_state = destination_state(view, now)
        destination_states["destination", view.name] = (
            own_state if own_state.level else endpoints_state(own_endpoint_rows, is_cut)
        )
        lines |= _lines_to(view, routing, own_endpoint_rows, is_cut, now)
    return Live(
        states={**_source_states(facts, now), **_route_states(waiting, letters, now), **destination_states},
        sources={each.source: _source_traffic(each, now) for each in facts},
        lines=lines,
        may_have_delivered=frozenset(view.name for view in views if _may_have_delivered(view)),
    )


def _source_states(facts: Sequence[source_health.SourceFacts], now: float) -> dict[tuple[Kind, str], State]:
    """Return the states of the sources that are not healthy."""
    states: dict[tuple[Kind, str], State] = {}
    for each in facts:
        health = source_health.judge(each, now)
        if level := _SOURCE_LEVELS.get(health.word):
            states["source", each.source] = State(level, health.word, health.reason)
    return states


def _route_states(
    waiting: status.WaitingRows, letters: Sequence[journal_view.DeadLetterRow], now: float
) -> dict[tuple[Kind, str], State]:
    """Return the states of the routes whose events failed within the last hour, or wait. A failure
    replaces `waiting`."""
    states: dict[tuple[Kind, str], State] = {}
    for route in status.count_waiting_routes(waiting.route_rows):
        count = number_text(route.count, route.is_more)
        states["route", route.route] = State("warn", f"{count} waiting", route.reason)
    failed: dict[str, list[journal_view.DeadLetterRow]] = {}
    for each in letters:
        # A dead letter without a destination is of an event that a step could not process.
        if each.route and each.destination in ("", delivery.ROUTE_ITSELF) and each.at > now - HOUR_SECONDS:
            failed.setdefault(each.route, []).append(each)
    for name, newest_first in failed.items():
        count = number_text(len(newest_first), len(letters) >= MAX_LETTERS)
        states["route", name] = State("bad", f"{count} failed", newest_first[0].reason)
    return states


def _source_traffic(facts: source_health.SourceFacts, now: float) -> Traffic:
    received_at = facts.sampled_at
    return traffic_of(received_at, [], now, sampled_at=received_at, sample_size=source_health.SAMPLED_EVENTS)


def _may_have_delivered(view: destinations.DestinationView) -> bool:
    """Return whether a delivery was accepted, or may have been before the newest ones that are read."""
    is_delivered = any(row.state == ledger_rules.DELIVERED for row in view.newest)
    return is_delivered or len(view.newest) >= destinations.MAX_COUNTED


def destination_state(view: destinations.DestinationView, now: float) -> State:
    """Return the most urgent state: disabled, paused, failing, held, retrying, or failed within the last hour.

    A destination is failing if its last delivery became a dead letter, within the last day.
    """
    if view.state == "disabled":
        return State("bad", "disabled", view.reason)
    if view.state == "paused":
        until = f"until {times.time_text(view.paused_until)}" if view.paused_until else "until you resume it"
        # A pause without an end is an operator's own. Any other pause is an open breaker.
        return State("bad" if view.paused_until else "warn", "paused", "; ".join(filter(None, (until, view.reason))))
    ended = [row for row in view.newest if row.state in _ENDED]
    last = max(ended, key=lambda row: row.updated_at, default=None)
    if last is not None and last.state == ledger_rules.DEAD_LETTERED and last.updated_at > now - retention.DAY_SECONDS:
        return State("bad", "failing", last.reason)
    if view.held:
        return State("warn", f"{number_text(view.held, view.may_hold_more)} held", view.reason)
    retrying = [
        row
        for row in view.waiting_rows
        if row.state == ledger_rules.RETRY_SCHEDULED and not row.group and not waits_for_slot(row)
    ]
    if retrying:
        count = number_text(len(retrying), view.is_more)
        return State("warn", f"{count} retrying", retrying[0].reason)
    failed = [row for row in ended if row.state == ledger_rules.DEAD_LETTERED and row.updated_at > now - HOUR_SECONDS]
    return State("warn", f"{len(failed)} failed", failed[0].reason) if failed else State()


def endpoints_state(rows: Sequence[ledger.LedgerRow], is_cut: bool) -> State:
    """Return the state of a destination whose endpoints have these deliveries, which wait or are held.

    `is_cut`: there may be more.
    """
    for row_state, word in ((ledger_rules.HELD, "held"), (ledger_rules.RETRY_SCHEDULED, "waiting")):
        found = [row for row in rows if row.state == row_state and not row.group and not waits_for_slot(row)]
        if found:
            endpoints = count_of(len({row.destination for row in found}), "endpoint")
            count = number_text(len(found), is_cut)
            return State("warn", f"{count} {word}", f"to {endpoints}: {found[0].reason}")
    return State()


def _lines_to(
    view: destinations.DestinationView,
    routing: Routing,
    endpoint_rows: Sequence[ledger.LedgerRow],
    is_cut: bool,
    now: float,
) -> dict[tuple[str, str], Traffic]:
    """Return the traffic from each route to the destination, also from routes that no longer lead to it.

    `endpoint_rows` are the deliveries to its endpoints, if it has any, that wait or are held. `is_cut`: there may be
    more deliveries to endpoints.
    """
    routes = [route.name for route in routing.routes if view.name in route.destinations]
    has_endpoints = view.kind == SUBSCRIBERS or bool(endpoint_rows)
    is_more_waiting = view.is_more or view.may_hold_more or (is_cut and has_endpoints)
    sampled_at = [row.created_at for row in view.newest]
    lines: dict[tuple[str, str], Traffic] = {}
    for route in dict.fromkeys([*routes, *(row.route for row in view.newest)]):
        rows = [row for row in view.newest if row.route == route]
        delivered_at = [row.updated_at for row in rows if row.state == ledger_rules.DELIVERED]
        failed_at = [row.updated_at for row in rows if row.state == ledger_rules.DEAD_LETTERED]
        waiting = sum(row.route == route for row in (*view.waiting_rows, *endpoint_rows))
        traffic = traffic_of(delivered_at, failed_at, now, sampled_at=sampled_at, sample_size=destinations.MAX_COUNTED)
        lines[route, view.name] = replace(traffic, waiting=waiting, is_more_waiting=is_more_waiting)
    return lines


def traffic_of(
    passed_at: Sequence[float], failed_at: Sequence[float], now: float, *, sampled_at: Sequence[float], sample_size: int
) -> Traffic:
    """Return the counts of the last hour.

    `passed_at` are the times at which a source's events came in, or a destination accepted deliveries. `sampled_at` are
    the times of all that was read, at most `sample_size`. If these go back less than an hour, there may be more. If
    they go back less than RATE_SECONDS, the rate is that of the time to which they go back.
    """
    hour_began = now - HOUR_SECONDS
    oldest_at = min(sampled_at, default=hour_began) if len(sampled_at) >= sample_size else hour_began
    rate_began = max(oldest_at, now - RATE_SECONDS)
    count = sum(each > hour_began for each in passed_at)
    newest_count = sum(each >= rate_began for each in passed_at)
    return Traffic(
        count=count,
        is_more=oldest_at > hour_began,
        per_minute=newest_count * 60 / max(now - rate_began, 1.0) if newest_count else None,
        failed=sum(each > hour_began for each in failed_at),
    )


def troubles(routing: Routing, live: Live) -> Iterator[JsonObject]:
    """Yield what needs attention, the most urgent first."""
    order = sorted(live.states.items(), key=lambda item: -LEVELS.index(item[1].level))
    known = {"source": routing.sources, "destination": routing.destinations}
    for (kind, name), state in order:
        if state.level in ("warn", "bad") and name in known.get(kind, {name: ""}):
            yield {"kind": kind, "name": name, **_state_document(state)}


def _state_document(state: State) -> JsonObject:
    return {"level": state.level, "word": state.word, "reason": state.reason}


def _urgency(live: Live, route: RouteInfo) -> tuple[int, int]:
    """Return the urgency of the part of the route that is most urgent, and that of the route itself."""
    own = live.urgency("route", route.name)
    sources = [live.urgency("source", name) for name in route.sources]
    leads_to = [live.urgency("destination", name) for name in route.destinations]
    return max(own, *sources, *leads_to), own


def _route_document(route: RouteInfo, live: Live) -> JsonObject:
    state = live.state("route", route.name) if route.is_enabled else State("off", "disabled")
    sources: list[Json] = [
        {"name": name, "count": live.sources.get(name, Traffic()).text, **_state_document(live.state("source", name))}
        for name in route.sources
    ]
    leads_to: list[Json] = [
        {
            "name": name,
            "count": live.lines.get((route.name, name), Traffic()).text,
            "has_delivered": name in live.may_have_delivered,
            **_state_document(live.state("destination", name)),
        }
        for name in route.destinations
    ]
    steps: list[Json] = [*route.steps]
    document = {"name": route.name, "selects": route.selects, **_state_document(state)}
    return {**document, "sources": sources, "steps": steps, "destinations": leads_to}
