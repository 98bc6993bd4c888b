"""The page and its JSON interface over any platform's backend: its files, its routes, and the checks of a request.

A request passes three checks: it is not an event that was posted here by mistake, it comes from this machine and no
other site's page, and it carries the page's token. Beside `hookchain serve`, it may come from any machine, and it
carries a password instead.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.config.checkout import ROOT
from deploy.dev.inspector import api, charts_api, live_updates, map_api, page_access, records_api, sources_api
from deploy.dev.local_server import local_only, same_site_only, served
from deploy.explain.map.svg import STYLE_FILE
from shared import errors, logs
from shared.cloud.local.database import reason_of

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


def base_app(
    backend: api.Backend,
    board: live_updates.Board,
    access: page_access.PageAccess,
    outside: sources_api.OutsideFacts,
    tasks: Sequence[Callable[[], Awaitable[None]]] = (),
) -> web.Application:
    """Return the application. `tasks` run beside it for as long as it is served."""
    checks = [access.reject_events, local_only, access.require_token, api.errors_as_text]
    if access.passwords is not None:
        checks = [access.reject_events, same_site_only, access.require_password, api.errors_as_text]
    app = web.Application(middlewares=checks, client_max_size=api.MAX_BODY_BYTES)
    app[api.BACKEND] = backend
    app[live_updates.BOARD] = board
    app[sources_api.OUTSIDE] = outside
    app[map_api.KEPT] = map_api.KeptMap()
    app.router.add_get("/", _index)
    app.router.add_get(page_access.READY_PATH, _no_icon)
    app.router.add_get(r"/docs/{path:(?:[a-z]+/)*[A-Za-z-]+\.md}", _documentation)
    app.router.add_get(r"/page/{name:[a-z_]+\.[a-z]+}", _file)
    app.router.add_get("/api/live", live_updates.live)
    app.router.add_get("/api/sources", sources_api.list_sources)
    app.router.add_get("/api/map", map_api.show_map)
    app.router.add_get("/api/charts", charts_api.show_charts)
    app.add_routes(records_api.RECORDS_ROUTES)

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
    """Run `task` again and again until cancelled. Logs an error of the storage, which may be over at the next run."""
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
    relative_path = request.match_info["path"]  # the route's pattern admits no `..`
    top_name = relative_path.partition("/")[0]
    path = ROOT / relative_path
    if top_name not in {"README.md", "deploy", "functions"} or not path.is_file():
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
