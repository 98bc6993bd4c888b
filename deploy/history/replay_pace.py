"""Doing one thing after another at a bounded rate, and saying how far it has come."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self, TextIO, TypeVar

from deploy.terminal.progress import PassingLine

DEFAULT_RATE: Final = 20.0
BATCH_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 2.0

Item = TypeVar("Item")


async def at_rate(
    items: Sequence[Item], rate: float, send: Callable[[Sequence[Item]], Awaitable[None]], tell: Callable[[int], None]
) -> None:
    """`rate` is items a second, sent in small batches; `tell` gets how many are sent after each.

    Raises what `send` raises. A batch that was slow is not made up for: the rate is never passed.
    """
    now = asyncio.get_running_loop().time
    size = max(1, int(rate * BATCH_SECONDS))
    for start in range(0, len(items), size):
        began, batch = now(), items[start : start + size]
        await send(batch)
        tell(start + len(batch))
        if start + size < len(items):
            await asyncio.sleep(began + len(batch) / rate - now())


class Progress:
    """A line on a terminal, written over again and again, once the work has taken a while; and gone after it.

    Where the work ends early, by a fault or by Ctrl-C, how far it came is said in any case.
    """

    def __init__(self, total: int, done_word: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = 0
        self._total = total
        self._word = done_word
        self._stream = stream
        self._line = PassingLine(stream)
        self._clock = clock
        self._began = clock()

    def tell(self, done: int) -> None:
        self.done = done
        elapsed = self._clock() - self._began
        if elapsed > QUIET_SECONDS:
            left = elapsed / done * (self._total - done)
            self._line.show(f"{done:,} of {self._total:,} {self._word}, about {left:.0f} s left")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.clear()
        if error is not None:
            self._stream.write(f"stopped: {self.done:,} of {self._total:,} {self._word}\n")
            self._stream.flush()
