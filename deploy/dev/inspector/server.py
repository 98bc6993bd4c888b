"""The page and its JSON interface over any platform's backend, for the user who has the page's token.

A request passes three checks: it is not an event that was posted here by mistake, it comes from this machine and no
other site's page, and it carries the token: in the URL at the first visit, afterwards in a cookie, or in a header.
"""

import asyncio
import contextlib
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.config.checkout import ROOT
from deploy.dev.inspector import api, charts_api, map_api, records_api, sources_api
from deploy.dev.local_server import local_only, same_site_only, served
from deploy.explain.map.svg import STYLE_FILE
from deploy.history import documents, journal_view
from shared import errors, logs
from shared.cloud.local.database import reason_of
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.passwords import basic_credentials, bearer_token
from shared.signatures.signing import matches_any

DEFAULT_PORT: Final = 8090
PAUSE_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 0.2
PAGE: Final = Path(__file__).parent / "page"
SHARED_FILES: Final = {"dom.js": ROOT / "functions" / "subscribe" / "page" / "dom.js", "map.css": STYLE_FILE}
"""Files of the portal and of `hookchain map` that this page uses too."""
TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
READY_PATH: Final = "/favicon.ico"
"""Answered without a token: the supervisor requests it until the page is up."""
EVENTS_ELSEWHERE: Final = "the URLs that `hookchain sources` prints"
NO_PAGE: Final = "There is no page without the secret page-password.\n"
NEEDS_PASSWORD: Final = "The page needs the value of the secret page-password, with any user name.\n"  # noqa: S105
WRONG_PASSWORD_SECONDS: Final = 1.0
"""How long the answer to a wrong password takes, so that few can be tried on a connection."""
REJECTED_VISIT: Final = "Open the page with the URL that `make dev` or `hookchain status` prints: it has a token.\n"


@dataclass(frozen=True, slots=True)
class PageAccess:
    """The page's token, and a sentence that says where to post events instead of here.

    `passwords` are those of `hookchain serve`, of which a browser asks for one instead; without any, there is no page.
    """

    token: str
    events_advice: Callable[[], str]
    passwords: tuple[str, ...] | None = None

    @web.middleware
    async def reject_events(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell a sender that this is the page: webhooks are posted to its port by mistake."""
        if request.method not in {"GET", "HEAD"} and not request.path.startswith("/api/"):
            text = f"this is the page; post events to {self.events_advice()}\n"
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], text=text)
        return await handler(request)

    @web.middleware
    async def require_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject requests without the token. The URL that has it is answered with a cookie and the URL without it.

        So the token is in no history entry, link or Referer.
        """
        if request.path == READY_PATH:
            return await handler(request)
        # Cookies are shared by all ports of a host, so the name has the port.
        cookie = f"hookchain-page-{re.sub(r'[^0-9]', '', request.host.rpartition(':')[2])}"
        if request.method == "GET" and request.path == "/" and self._is_token(request.query.get("token", "")):
            visited = web.HTTPSeeOther("/")
            visited.set_cookie(cookie, self.token, path="/", httponly=True, samesite="Lax")
            raise visited
        in_header = bearer_token(request.headers.get("Authorization")) or ""
        if not (self._is_token(request.cookies.get(cookie, "")) or self._is_token(in_header)):
            raise web.HTTPForbidden(text=REJECTED_VISIT)
        return await handler(request)

    @web.middleware
    async def require_password(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject requests without a password, in basic authentication with any user name."""
        if request.path == READY_PATH:
            return await handler(request)
        if not self.passwords:
            raise web.HTTPNotFound(text=NO_PAGE)
        _, password = basic_credentials(request.headers.get("Authorization"))
        if not matches_any([password or ""], self.passwords):
            if password:  # a browser's first request has none, and is answered at once
                await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            headers = {"WWW-Authenticate": 'Basic realm="Hookchain", charset="UTF-8"'}
            raise web.HTTPUnauthorized(text=NEEDS_PASSWORD, headers=headers)
        return await handler(request)

    def _is_token(self, text: str) -> bool:
        return matches_any([text], [self.token])


def base_app(
    backend: api.Backend,
    board: "Board",
    access: PageAccess,
    outside: sources_api.OutsideFacts,
    tasks: Sequence[Callable[[], Awaitable[None]]] = (),
) -> web.Application:
    """Return the application. `tasks` run beside it for as long as it is served."""
    checks = [access.reject_events, local_only, access.require_token, api.errors_as_text]
    if access.passwords is not None:
        checks = [access.reject_events, same_site_only, access.require_password, api.errors_as_text]
    app = web.Application(middlewares=checks, client_max_size=api.MAX_BODY_BYTES)
    app[api.BACKEND] = backend
    app[BOARD] = board
    app[sources_api.OUTSIDE] = outside
    app[map_api.KEPT] = map_api.KeptMap()
    app.router.add_get("/", _index)
    app.router.add_get(READY_PATH, _no_icon)
    app.router.add_get(r"/docs/{path:(?:[a-z]+/)*[A-Za-z]+\.md}", _documentation)
    app.router.add_get(r"/page/{name:[a-z_]+\.[a-z]+}", _file)
    app.router.add_get("/api/live", live)
    routes = (records_api.RECORDS_ROUTES, sources_api.SOURCES_ROUTES, map_api.MAP_ROUTES, charts_api.CHARTS_ROUTES)
    for each in routes:
        app.add_routes(each)

    async def run_tasks(_: web.Application) -> AsyncIterator[None]:
        running = [asyncio.create_task(repeated(task)) for task in (board.update, *tasks)]
        yield
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(run_tasks)
    return app


async def repeated(task: Callable[[], Awaitable[None]]) -> None:
    """Run `task` again and again. It ends only with an error, such as a full disk, that may be over the next time."""
    while True:
        try:
            await task()
        except (sqlite3.Error, errors.Temporary) as error:
            detail = error.detail if isinstance(error, errors.Temporary) else reason_of(error)
            logs.log("WARNING", "the page may be out of date", function="inspector", detail=detail)
        await asyncio.sleep(PAUSE_SECONDS)


async def serve_app(
    app: web.Application, port: int, stopped: asyncio.Event, is_up: Callable[[], None], *, any_user: bool = False
) -> None:
    """Serve until `stopped` is set; `is_up` is called once it answers. Raises OSError if the port is taken."""
    async with served(app, port, SHUTDOWN_SECONDS, any_user=any_user):
        is_up()
        await stopped.wait()


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every answer; one that has a policy of its own keeps it."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


async def _index(_: web.Request) -> web.Response:
    return _page_file("index.html")


async def _file(request: web.Request) -> web.Response:
    return _page_file(request.match_info["name"])


async def _documentation(request: web.Request) -> web.Response:
    """Answer a page of the checkout's documentation, as the text that it is."""
    path = ROOT / request.match_info["path"]
    if path.parts[len(ROOT.parts) :][0] not in {"README.md", "deploy", "functions"} or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(text=path.read_text(encoding="utf-8"), content_type="text/plain", charset="utf-8")


async def _no_icon(_: web.Request) -> web.Response:
    """Answer the supervisor's readiness check; the page names its icon elsewhere."""
    return web.Response(status=204)


def _page_file(name: str) -> web.Response:
    path = SHARED_FILES.get(name, PAGE / name)
    if path.suffix not in TYPES or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(text=path.read_text(encoding="utf-8"), content_type=TYPES[path.suffix], charset="utf-8")


BOARD_SECONDS: Final = 0.25
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60
LOOK_SECONDS: Final = 0.5
ALIVE_SECONDS: Final = 15.0
REST_FACTOR: Final = 60.0
"""After a reading, wait at least this many times as long as the reading took: an open page has five such readings."""


@dataclass(slots=True)
class Pace:
    """The interval between two reads of something, longer if a read is slow."""

    interval_seconds: float
    next_at: float = 0.0

    def is_due(self, now: float) -> bool:
        return now >= self.next_at

    def record(self, began: float, ended: float) -> None:
        self.next_at = ended + max(self.interval_seconds, (ended - began) * REST_FACTOR)


@dataclass(frozen=True, slots=True)
class BoardDocument:
    """A document that every open page shows: `overview`, `plots`, `sink` or `hint`."""

    name: str
    pace: Pace
    read: Callable[[], Awaitable[JsonObject]]


class Board:
    """The documents that are the same on every open page, read once for all, and only while a page is open."""

    def __init__(self, documents: Sequence[BoardDocument]) -> None:
        self.documents: dict[str, JsonObject] = {}
        self.open_pages = 0
        self._board_documents = documents

    async def update(self) -> None:
        """Update the documents until cancelled."""
        while True:
            if self.open_pages:
                for each in self._board_documents:
                    began = time.monotonic()
                    if each.pace.is_due(began):
                        self.documents[each.name] = await each.read()
                        each.pace.record(began, time.monotonic())
            await asyncio.sleep(BOARD_SECONDS)


BOARD: Final = web.AppKey("board", Board)


async def plots(backend: api.Backend) -> JsonObject:
    reader, now = backend.reader, time.time()
    buckets = await backend.read(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
    return documents.series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)


class SentDocuments:
    """The documents that one page has been sent."""

    def __init__(self) -> None:
        self._rows: dict[str, JsonObject] = {}
        self._documents: dict[str, JsonObject] = {}
        self._page: JsonObject = {}

    def list_update(self, page: JsonObject) -> JsonObject | None:
        """Return the ids of the list in order and the rows that are new or changed, or None if nothing changed."""
        if page == self._page:
            return None
        self._page, known, events = page, self._rows, page["events"]
        assert isinstance(events, list)
        self._rows = {str(row["id"]): row for row in events if isinstance(row, dict)}
        changed: list[Json] = [row for event_id, row in self._rows.items() if known.get(event_id) != row]
        ids: list[Json] = list(self._rows)
        return {**page, "events": changed, "ids": ids}

    def updates(self, documents: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
        """Return the documents that changed."""
        changed = {name: document for name, document in documents.items() if self._documents.get(name) != document}
        self._documents |= changed
        return changed


async def live(request: web.Request) -> web.StreamResponse:
    """Send updates of the list that the query selects, as for /api/events."""
    query = api.event_query(request.query)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    board = request.app[BOARD]
    board.open_pages += 1
    try:
        with contextlib.suppress(ConnectionResetError):  # the page was closed
            await response.prepare(request)
            await _send_updates(request, query, response)
    finally:
        board.open_pages -= 1
    return response


async def _send_updates(request: web.Request, query: journal_view.EventQuery, response: web.StreamResponse) -> None:
    """Send updates until the page is closed, which a handler is not told of before it writes."""
    backend, board = request.app[api.BACKEND], request.app[BOARD]
    sent, pace, version, sent_at = SentDocuments(), Pace(backend.tick_seconds), -1, time.monotonic()
    while request.transport is not None and not request.transport.is_closing():
        updates = sent.updates(board.documents)
        began = time.monotonic()
        if pace.is_due(began):
            # Without a write there is nothing new, but a search by text may find what was indexed since.
            before, version = version, await backend.read(backend.reader.version)
            if before != version or query.text:
                page = await records_api.find_events(backend, query)
                pace.record(began, time.monotonic())
                if listed := sent.list_update(page):
                    updates["events"] = listed
        for name, document in updates.items():
            await response.write(f"event: {name}\ndata: {to_json(document)}\n\n".encode())
        if updates:
            sent_at = time.monotonic()
        elif time.monotonic() - sent_at > ALIVE_SECONDS:
            sent_at = time.monotonic()
            await response.write(b": still here\n\n")
        await asyncio.sleep(min(backend.tick_seconds, LOOK_SECONDS))
