"""A bounded number of threads for what blocks."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from shared.errors import Temporary

MAX_THREADS: Final = 16

Answer = TypeVar("Answer")


class BoundedThreads:
    """Opened at first use."""

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._free = asyncio.Semaphore(limit)
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[float], Answer], timeout_seconds: float) -> Answer:
        """`call` is given the seconds that are left to it when its thread begins.

        Raises Temporary where no thread comes free in half of that time. Cancelled, it leaves the thread to its end.
        """
        left = timeout_seconds - await self._wait(timeout_seconds / 2)
        future = self._open().submit(call, left)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._release_after(future)

    async def _wait(self, max_seconds: float) -> float:
        """For a thread; the seconds that it took."""
        if not self._free.locked():
            await self._free.acquire()
            return 0.0
        began = time.monotonic()
        try:
            async with asyncio.timeout(max_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise Temporary("mail_threads", f"all {self._limit} threads that send mail are busy") from error
        return time.monotonic() - began

    def _release_after(self, future: Future[Answer]) -> None:
        """Cancelled, the call still has its thread."""
        if future.done():
            self._free.release()
            return
        loop = asyncio.get_running_loop()

        def release(_: Future[Answer]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._free.release)

        future.add_done_callback(release)

    def close(self) -> None:
        if self._executor:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _open(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._limit, thread_name_prefix="mail")
        return self._executor
