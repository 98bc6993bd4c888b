"""Make few calls at a time of many: combine them (`Batcher`), or take turns (`batches`, `await_all`).

A Batcher puts the items that arrive while a call is in flight together into the next call. The first item starts a call
at once, so an item never waits without a reason. With this, one worker confirms several
thousand publishes a second over one plain HTTP connection, and commits several thousand ledger writes a second over one
SQLite connection (both measured).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from shared.errors import Temporary

AT_ONCE: Final = 20
"""The most calls of `await_all` that run at the same time, such as reads of a store for one request or sweep."""
Item = TypeVar("Item")
Key = TypeVar("Key")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Submits items to `call` in batches.

    call         takes the items of a batch, and returns an answer for each item in their order. If it raises, the error
                 is raised for every item of the batch
    max_batch    the most items in a call
    max_waiting  the most items that wait for a call
    weigh        returns the weight of an item, such as its size. By default, items have no weight
    max_weight   the greatest weight of a batch. An item that is heavier is submitted alone
    max_calls    the most calls in flight at once
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_waiting: int,
        weigh: Callable[[Item], int] = lambda _: 0,
        max_weight: int = 1,
        max_calls: int = 1,
    ) -> None:
        self._call = call
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._weigh = weigh
        self._max_weight = max_weight
        self._max_calls = max_calls
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._workers: list[asyncio.Task[None]] = []

    async def submit(self, item: Item) -> Answer:
        """Submit the item and return its answer.

        If the caller is cancelled, an item that is still waiting is withdrawn. The outcome of an item whose call is in
        flight is then unknown. Raises Temporary (`queue_full`) if too many items wait, and whatever `call` raises.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Temporary("queue_full", f"{self._max_waiting} items already wait")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._workers = [worker for worker in self._workers if not worker.done()]
        if len(self._workers) < self._max_calls:
            self._workers.append(asyncio.create_task(self._work()))
        return await future

    @property
    def is_busy(self) -> bool:
        """Return whether a call is in flight or about to start."""
        return any(not worker.done() for worker in self._workers)

    async def _work(self) -> None:
        while batch := self._next_batch():
            try:
                answers = await self._call([item for item, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(_copy_of(error))
                # A cancellation or an exit ends the worker. Items that still wait are called with the next submission.
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """Remove the items of the next call from those that wait; an empty list if none waits."""
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        batch_weight = 0
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting[0]
            is_withdrawn = future.done()
            if is_withdrawn:
                self._waiting.popleft()
                continue
            batch_weight += self._weigh(item)
            is_too_heavy = batch_weight > self._max_weight
            if batch and is_too_heavy:
                break
            batch.append((item, future))
            self._waiting.popleft()
        return batch


def _copy_of(error: BaseException) -> BaseException:
    """Return a copy of a Temporary, and any other error itself, also one of a subclass of Temporary.

    Temporary is the usual error, for instance while the bus is down. Raised in many tasks, one object would collect
    the tracebacks of all of them.
    """
    return Temporary(error.code, error.detail) if type(error) is Temporary else error


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Do what itertools.batched does since Python 3.12."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def grouped(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    """Return the second values of the pairs, by the first value. Both are in the order of the pairs."""
    groups: dict[Key, list[Item]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return groups


async def await_all(awaitables: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Await all of them, AT_ONCE at a time, and return their results in the same order.

    Raises what one raises; the others run to their ends nevertheless.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(awaitable: Awaitable[Answer]) -> Answer:
        async with turns:
            return await awaitable

    return await asyncio.gather(*map(in_turn, awaitables))
