"""The page and its JSON over any platform's parts, for this machine alone."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from deploy.dev.guard import local_only
from deploy.dev.inspector import actions_api, events_api, live, page
from deploy.dev.inspector.answers import MAX_BODY_BYTES, faults_in_words
from deploy.dev.inspector.board import BOARD, Board
from deploy.dev.inspector.gate import add_headers
from deploy.dev.inspector.parts import PARTS, Parts
from deploy.dev.inspector.upkeep import again_and_again
from deploy.dev.site import LocalSite

DEFAULT_PORT: Final = 8090


def base_app(parts: Parts, board: Board, works: Sequence[Callable[[], Awaitable[None]]] = ()) -> web.Application:
    """`works` go on beside the page, for as long as it is served."""
    app = web.Application(middlewares=[local_only, faults_in_words], client_max_size=MAX_BODY_BYTES)
    app[PARTS], app[BOARD] = parts, board
    for module in (page, events_api, actions_api, live):
        app.add_routes(module.ROUTES)

    async def duties(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(again_and_again(work)) for work in (board.keep, *works)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.append(duties)
    return app


async def serve_app(
    app: web.Application, port: int, stopped: asyncio.Event, is_up: Callable[[], None] = lambda: None
) -> None:
    """`is_up` is called once it answers. Raises OSError where the port is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await LocalSite(runner, port).start()
        is_up()
        await stopped.wait()
    finally:
        await runner.cleanup()


def stopped_by_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
