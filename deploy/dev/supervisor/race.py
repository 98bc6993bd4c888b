"""Several coroutines at once, until the first of them ends."""

import asyncio
from collections.abc import Coroutine, Sequence


async def race(*works: Coroutine[None, None, object]) -> None:
    """The others are cancelled, and waited for. Raises what the first raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in ended:
        task.result()


async def raise_first_fault(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until one of the tasks fails, and raise its exception. Cancels none of them."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
