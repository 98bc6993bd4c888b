"""Many small calls made into few: what arrives while one call is in flight goes into the next.

Nothing waits when idle: the first item starts a call at once. Measured, this is what lets one worker confirm several
thousand publishes a second over plain HTTP, and SQLite commit as many ledger writes, with one connection each.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from shared.errors import Temporary

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """`call` takes the items of one batch and answers one value an item, in their order, or raises for all of them.

    At most `max_batch` items go into a call, of at most `max_weight` together where a weight is given (an item
    heavier than that goes alone). At most `max_waiting` wait; the next raises Temporary (`queue_full`).
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_waiting: int,
        weigh: Callable[[Item], int] = lambda _: 0,
        max_weight: int = 1,
    ) -> None:
        self._call = call
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._weigh = weigh
        self._max_weight = max_weight
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Return the item's answer. Cancelled while it waits, it is withdrawn; in flight, its outcome is not known."""
        if len(self._waiting) >= self._max_waiting:
            raise Temporary("queue_full", f"{self._max_waiting} items already wait")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self.is_busy:
            self._worker = asyncio.create_task(self._work())
        return await future

    @property
    def is_busy(self) -> bool:
        """Return whether items wait, or a call is in flight."""
        return self._worker is not None and not self._worker.done()

    async def _work(self) -> None:
        while batch := self._next_batch():
            try:
                answers = await self._call([item for item, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        # A copy of its own for each: one exception object raised in many tasks grows one traceback.
                        future.set_exception(_again(error))
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        weight = 0
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting[0]
            if future.done():  # withdrawn
                self._waiting.popleft()
                continue
            weight += self._weigh(item)
            if batch and weight > self._max_weight:
                break
            batch.append((item, future))
            self._waiting.popleft()
        return batch


def _again(error: BaseException) -> BaseException:
    if isinstance(error, Temporary):
        return Temporary(error.code, error.detail)
    return error


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Do what itertools.batched does since Python 3.12."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
