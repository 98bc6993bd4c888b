"""An event loop whose time is not real: where nothing is left to do, it jumps to the next thing that is due."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Final, TypeVar

START: Final = 1_790_000_000.0

Answer = TypeVar("Answer")


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would sleep, its time moves on instead."""

    elapsed = 0.0

    # typeshed's SelectorKey holds an Any
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # type: ignore[explicit-any]
        if timeout is None:
            raise RuntimeError("every task waits for what will never come: a deadlock")
        self.elapsed += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its hours pass in milliseconds, in the same order each time. It is a Clock too, and `time()` begins at 0.

    Nothing real may be awaited in it: no socket, no thread.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed

    def now(self) -> float:
        return START + self._jumping.elapsed


def run(main: Coroutine[None, None, Answer]) -> Answer:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
