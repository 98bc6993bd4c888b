"""The page and its JSON interface over any platform's backend, for this machine alone."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.config.checkout import ROOT
from deploy.dev.guard import local_only
from deploy.dev.inspector import actions_api, destinations_api, events_api, live_updates, subscribers_api
from deploy.dev.inspector.api import MAX_BODY_BYTES, errors_as_text
from deploy.dev.inspector.backend import BACKEND, Backend
from deploy.dev.inspector.journal_upkeep import repeated
from deploy.dev.inspector.live_updates import BOARD, Board
from deploy.dev.site import LocalSite

DEFAULT_PORT: Final = 8090
PAGE: Final = Path(__file__).parent / "page"
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


def base_app(backend: Backend, board: Board, tasks: Sequence[Callable[[], Awaitable[None]]] = ()) -> web.Application:
    """Return the application. `tasks` run beside it for as long as it is served."""
    app = web.Application(middlewares=[local_only, errors_as_text], client_max_size=MAX_BODY_BYTES)
    app[BACKEND], app[BOARD] = backend, board
    app.router.add_get("/", _index)
    app.router.add_get("/favicon.ico", _no_icon)
    app.router.add_get(r"/docs/{path:(?:[a-z]+/)*[A-Za-z]+\.md}", _documentation)
    app.router.add_get(r"/page/{name:[a-z_]+\.[a-z]+}", _file)
    for module in (events_api, actions_api, destinations_api, subscribers_api, live_updates):
        app.add_routes(module.ROUTES)

    async def run_tasks(_: web.Application) -> AsyncIterator[None]:
        running = [asyncio.create_task(repeated(task)) for task in (board.update, *tasks)]
        yield
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(run_tasks)
    return app


async def serve_app(
    app: web.Application, port: int, stopped: asyncio.Event, is_up: Callable[[], None] = lambda: None
) -> None:
    """Serve until `stopped` is set; `is_up` is called once it answers. Raises OSError if the port is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await LocalSite(runner, port).start()
        is_up()
        await stopped.wait()
    finally:
        await runner.cleanup()


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


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
    path = PAGE / name
    if path.suffix not in TYPES or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(text=path.read_text(encoding="utf-8"), content_type=TYPES[path.suffix], charset="utf-8")
