"""An aiohttp application on a port of its own, in a thread: asynchronous and synchronous callers alike can ask it."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from aiohttp import web

from tests.running.processes import PATIENCE_SECONDS


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """`host:port`, until the block ends."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(app, started)), name="stand-in")
    thread.start()
    host, loop, stopped = started.result(10)
    try:
        yield host
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(PATIENCE_SECONDS)


async def _serve(app: web.Application, started: "Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    except BaseException as error:
        started.set_exception(error)
        raise
    stopped = asyncio.Event()
    started.set_result((f"127.0.0.1:{runner.addresses[0][1]}", asyncio.get_running_loop(), stopped))
    await stopped.wait()
    await runner.cleanup()
