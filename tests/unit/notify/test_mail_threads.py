import asyncio
import threading
from contextlib import closing, suppress

import pytest

from functions.notify.destinations.email.threads import BoundedThreads
from shared.errors import Temporary


def waiting_for(gate: threading.Event) -> bool:
    return gate.wait(5)


async def test_a_call_has_the_time_that_its_wait_for_a_thread_left() -> None:
    gate = threading.Event()
    with closing(BoundedThreads(limit=1)) as threads:
        first = asyncio.create_task(threads.run(lambda _: waiting_for(gate), 5))
        second = asyncio.create_task(threads.run(lambda left: left, 60))
        await asyncio.sleep(0.02)
        gate.set()

        assert await first
        assert 59 < await second < 60


async def test_where_no_thread_comes_free_nothing_is_sent() -> None:
    gate = threading.Event()
    with closing(BoundedThreads(limit=1)) as threads:
        first = asyncio.create_task(threads.run(lambda _: waiting_for(gate), 5))
        await asyncio.sleep(0)
        with pytest.raises(Temporary, match="all 1 threads"):
            await threads.run(lambda _: pytest.fail("it was called"), 0.02)
        gate.set()

        assert await first


async def test_a_cancelled_call_gives_its_thread_back_when_it_ends() -> None:
    gate = threading.Event()
    with closing(BoundedThreads(limit=1)) as threads:
        first = asyncio.create_task(threads.run(lambda _: waiting_for(gate), 5))
        await asyncio.sleep(0.01)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        with pytest.raises(Temporary):
            await threads.run(lambda _: None, 0.02)
        gate.set()

        assert await threads.run(lambda _: "done", 5) == "done"


async def test_what_a_call_raises_comes_to_its_caller_and_frees_the_thread() -> None:
    with closing(BoundedThreads(limit=1)) as threads:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await threads.run(lambda _: 1 / 0, 5)
