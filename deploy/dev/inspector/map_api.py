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

from deploy.dev.inspector.api import BACKEND
from deploy.dev.inspector.sources_api import find_facts
from deploy.dev.local_server import json_answer
from deploy.explain.map import picture, routing, svg
from deploy.explain.map.routing import LEVELS, Kind, Level, Live, RouteInfo, Routing, State, Traffic, number_text
from deploy.history import destinations, source_health, status
from deploy.history.journal_view import DeadLetterRow
from deploy.history.state import configured_destinations, configured_name
from deploy.terminal.output import count_of
from functions.notify.registry import SUBSCRIBERS
from functions.notify.waiting.due import waits_for_slot
from shared import ledger_rules
from shared.delivery import ROUTE_ITSELF
from shared.jsontext import Json, JsonObject
from shared.ledger import LedgerRow
from shared.retention import DAY_SECONDS
from shared.subscribers.names import endpoint_name
from shared.times import time_text

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
    backend = request.app[BACKEND]
    names = ("receive", "transform", "notify")
    slices = await asyncio.to_thread(lambda: {name: backend.read_slice(name) or {} for name in names})
    notify = slices["notify"]
    whole = routing.read_routing(slices)
    now = time.time()
    facts, is_reading = await find_facts(request, slices["receive"], notify)
    configured = configured_destinations(notify)
    views = await destinations.read_destinations(backend.ledger, configured, now, notify, limit=None)
    waiting = await status.read_waiting(backend.ledger)
    held_rows = await backend.ledger.rows(status.MAX_SEARCHED, state=ledger_rules.HELD)
    letters = await backend.read(partial(backend.reader.dead_letters, MAX_LETTERS))
    live = live_map(whole, facts, views, waiting, held_rows, letters, now)
    return MapNow(whole, live, is_reading)


async def show_map(request: web.Request) -> web.Response:
    query = request.query
    read = await request.app[KEPT].newest(partial(_read_map, request))
    live = read.live
    find = query.get("find", "")
    opened = [key for key in query.get("open", "").split(";") if key]
    found = routing.matching(read.routing, find)
    is_long = len(found.routes) > MAX_LISTED
    is_grouped = is_long and not query.get("all")
    rows = routing.rows_of(found, is_grouped=is_grouped, opened=opened)
    columns = picture.NARROW if query.get("narrow") else picture.WIDE
    open_link = partial(_open_link, find, opened)
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


def _open_link(find: str, opened: Sequence[str], key: str) -> str:
    return picture.page_link("map", find=find, open=";".join([*opened, key]))


def live_map(
    routing: Routing,
    facts: Sequence[source_health.SourceFacts],
    views: Sequence[destinations.DestinationView],
    waiting: status.WaitingRows,
    held_rows: Sequence[LedgerRow],
    letters: Sequence[DeadLetterRow],
    now: float,
) -> Live:
    """Return the states and counts of the map.

    `held_rows` are the newest deliveries that are held, of all destinations and endpoints, and `letters` the newest
    dead letters that are kept, newest first.
    """
    states: dict[tuple[Kind, str], State] = {}
    for each in facts:
        health = source_health.judge(each, now)
        if level := _SOURCE_LEVELS.get(health.word):
            states["source", each.source] = State(level, health.word, health.reason)
    for route in status.count_waiting_routes(waiting.route_rows):
        count = number_text(route.count, route.is_more)
        states["route", route.route] = State("warn", f"{count} waiting", route.reason)
    # A dead letter without a destination is of an event that a step could not process.
    failed = [
        each
        for each in letters
        if each.route and each.destination in ("", ROUTE_ITSELF) and each.at > now - HOUR_SECONDS
    ]
    for letter in reversed(failed):
        failed_count = sum(each.route == letter.route for each in failed)
        count = number_text(failed_count, len(letters) >= MAX_LETTERS)
        states["route", letter.route] = State("bad", f"{count} failed", letter.reason)
    lines: dict[tuple[str, str], Traffic] = {}
    is_cut = waiting.is_cut or len(held_rows) >= status.MAX_SEARCHED
    to_endpoints = [row for row in (*waiting.newest, *held_rows) if endpoint_name(row.destination)]
    for view in views:
        routes = [route.name for route in routing.routes if view.name in route.destinations]
        own_endpoints = [row for row in to_endpoints if configured_name(row.destination) == view.name]
        own_state = destination_state(view, now)
        states["destination", view.name] = own_state if own_state.level else endpoints_state(own_endpoints, is_cut)
        may_wait = is_cut and (view.kind == SUBSCRIBERS or bool(own_endpoints))
        for name, traffic in _traffic_by_route(view, routes, own_endpoints, now):
            lines[name, view.name] = replace(traffic, is_more_waiting=traffic.is_more_waiting or may_wait)
    return Live(
        states=states,
        sources={
            each.source: traffic_of(each.sampled_at, [], now, each.sampled_at, source_health.SAMPLED_EVENTS)
            for each in facts
        },
        lines=lines,
        used=frozenset(view.name for view in views if _may_be_used(view)),
    )


def _may_be_used(view: destinations.DestinationView) -> bool:
    is_whole = len(view.newest) < destinations.MAX_COUNTED
    return not is_whole or any(row.state == ledger_rules.DELIVERED for row in view.newest)


def destination_state(view: destinations.DestinationView, now: float) -> State:
    """Return the most urgent state: disabled, paused, failing, held, retrying, or failed within the last hour.

    A destination is failing if its last delivery became a dead letter, within the last day.
    """
    if view.state == "disabled":
        return State("bad", "disabled", view.reason)
    if view.state == "paused":
        until = f"until {time_text(view.paused_until)}" if view.paused_until else "until you resume it"
        # A pause without an end is an operator's own. Any other pause is an open breaker.
        return State("bad" if view.paused_until else "warn", "paused", "; ".join(filter(None, (until, view.reason))))
    ended = [row for row in view.newest if row.state in _ENDED]
    last = max(ended, key=lambda row: row.updated_at, default=None)
    if last is not None and last.state == ledger_rules.DEAD_LETTERED and last.updated_at > now - DAY_SECONDS:
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


def endpoints_state(rows: Sequence[LedgerRow], is_cut: bool) -> State:
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


def _traffic_by_route(
    view: destinations.DestinationView, routes: Sequence[str], to_endpoints: Sequence[LedgerRow], now: float
) -> Iterator[tuple[str, Traffic]]:
    """Yield the traffic of each of the routes, and of those that no longer lead to the destination."""
    sampled_at = [row.created_at for row in view.newest]
    for route in dict.fromkeys([*routes, *(row.route for row in view.newest)]):
        rows = [row for row in view.newest if row.route == route]
        delivered = [row.updated_at for row in rows if row.state == ledger_rules.DELIVERED]
        failed = [row.updated_at for row in rows if row.state == ledger_rules.DEAD_LETTERED]
        waiting = sum(row.route == route for row in (*view.waiting_rows, *to_endpoints))
        traffic = traffic_of(delivered, failed, now, sampled_at, destinations.MAX_COUNTED)
        yield route, replace(traffic, waiting=waiting, is_more_waiting=view.is_more or view.may_hold_more)


def traffic_of(
    times: Sequence[float], failed_at: Sequence[float], now: float, sampled_at: Sequence[float], sample_size: int
) -> Traffic:
    """Return the counts of the last hour.

    `sampled_at` are the times of all that was read, at most `sample_size`. If these go back less than an hour, there
    may be more. If they go back less than RATE_SECONDS, the rate is that of the time to which they go back.
    """
    hour_began = now - HOUR_SECONDS
    oldest_at = min(sampled_at, default=hour_began) if len(sampled_at) >= sample_size else hour_began
    rate_began = max(oldest_at, now - RATE_SECONDS)
    count = sum(each > hour_began for each in times)
    newest_count = sum(each >= rate_began for each in times)
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
    state = live.states.get(("route", route.name), State())
    if not route.is_enabled:
        state = State("off", "disabled")
    sources: list[Json] = [
        {"name": name, "count": live.sources.get(name, Traffic()).text, **_state_document(_state(live, "source", name))}
        for name in route.sources
    ]
    leads_to: list[Json] = [
        {
            "name": name,
            "count": live.lines.get((route.name, name), Traffic()).text,
            "has_delivered": name in live.used,
            **_state_document(_state(live, "destination", name)),
        }
        for name in route.destinations
    ]
    steps: list[Json] = [*route.steps]
    document = {"name": route.name, "selects": route.selects, **_state_document(state)}
    return {**document, "sources": sources, "steps": steps, "destinations": leads_to}


def _state(live: Live, kind: Kind, name: str) -> State:
    return live.states.get((kind, name), State())


MAP_ROUTES: Final = [web.get("/api/map", show_map)]
