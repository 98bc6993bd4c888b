"""An event loop in a thread of its own, for callers that are not asynchronous, or run on another loop."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

Answer = TypeVar("Answer")


class LoopThread:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[None, None, Answer]) -> Answer:
        """Waits for it. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
