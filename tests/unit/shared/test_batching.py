import asyncio
from collections.abc import Sequence

import pytest

from shared.batching import Batcher
from shared.errors import Temporary, Unanswered


class SlowCall:
    """A call that a test lets go on, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Semaphore(0)
        self.fault: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.acquire()
        if self.fault:
            raise self.fault
        return [item * 10 for item in items]


def batcher(call: SlowCall, max_batch: int = 10, max_waiting: int = 10, max_weight: int = 1_000) -> Batcher[int, int]:
    return Batcher(call, max_batch=max_batch, max_waiting=max_waiting, weigh=lambda item: item, max_weight=max_weight)


async def submitted(batcher: Batcher[int, int], *items: int) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_arrives_during_a_call_goes_into_the_next_one_together() -> None:
    call = SlowCall()
    made = batcher(call)
    first = await submitted(made, 1)
    rest = await submitted(made, 2, 3, 4)
    for _ in range(2):
        call.gate.release()
    assert await asyncio.gather(*first, *rest) == [10, 20, 30, 40]
    assert call.batches == [[1], [2, 3, 4]]


async def test_a_failure_reaches_each_that_waited_for_it_and_no_other() -> None:
    call = SlowCall()
    made = batcher(call)
    failing = await submitted(made, 1)
    call.fault = Unanswered("bus_unavailable", "down")
    call.gate.release()
    with pytest.raises(Unanswered):  # which is a Temporary, but says more
        await failing[0]
    call.fault = None
    call.gate.release()
    assert await made.submit(2) == 20


async def test_one_that_is_cancelled_while_it_waits_is_never_sent() -> None:
    call = SlowCall()
    made = batcher(call)
    first = await submitted(made, 1)
    withdrawn, kept = await submitted(made, 2, 3)
    withdrawn.cancel()
    await asyncio.sleep(0)
    for _ in range(2):
        call.gate.release()
    assert await asyncio.gather(*first, kept) == [10, 30]
    assert call.batches == [[1], [3]]


async def test_several_calls_may_be_in_flight() -> None:
    call = SlowCall()
    made = Batcher(call, max_batch=2, max_waiting=10, max_calls=2)
    tasks = await submitted(made, 1, 2, 3, 4, 5)
    assert call.batches == [[1, 2], [3, 4]]
    for _ in range(3):
        call.gate.release()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50]


async def test_a_full_queue_rejects_at_once() -> None:
    call = SlowCall()
    made = batcher(call, max_waiting=2)
    tasks = await submitted(made, 1)
    tasks += await submitted(made, 2, 3)
    with pytest.raises(Temporary) as rejection:
        await made.submit(4)
    assert rejection.value.code == "queue_full"
    for _ in range(2):
        call.gate.release()
    await asyncio.gather(*tasks)


async def test_a_batch_is_bounded_by_count_and_by_weight() -> None:
    call = SlowCall()
    made = batcher(call, max_batch=2, max_weight=10)
    tasks = await submitted(made, 1)
    tasks += await submitted(made, 2, 3, 4, 9, 50)
    for _ in range(6):
        call.gate.release()
    await asyncio.gather(*tasks)
    assert call.batches == [[1], [2, 3], [4], [9], [50]]
