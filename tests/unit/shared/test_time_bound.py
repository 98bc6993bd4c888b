"""Time limits of many tasks, which one timer watches, and of the retries of the clouds' APIs."""

import asyncio

import pytest

from shared.cloud.retries import PATIENT, with_retries
from shared.time_bound import Deadlines, TooLate
from tests.fakes.virtual_time import run


async def until(event: asyncio.Event) -> None:
    await event.wait()


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_each_is_given_up_at_its_own_deadline() -> None:
    deadlines, ended = Deadlines(), list[float]()

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await deadlines.wait(until(asyncio.Event()), in_seconds(seconds))
        ended.append(seconds)

    async def wait_for_all() -> None:
        await asyncio.gather(wait(0.06), wait(0.02), wait(0.04), wait(-1))

    run(wait_for_all())
    assert ended == [-1, 0.02, 0.04, 0.06]


async def test_a_task_that_is_cancelled_is_not_late() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(deadlines.wait(until(asyncio.Event()), in_seconds(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_goes_on_although_it_is_late_leaves_its_task_to_go_on() -> None:
    deadlines = Deadlines()

    async def deaf() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "at last"
        return ""

    assert await deadlines.wait(deaf(), in_seconds(0.01)) == "at last"
    with pytest.raises(TooLate):
        await deadlines.wait(until(asyncio.Event()), in_seconds(0.01))
    await asyncio.sleep(0)


def test_no_call_begins_after_the_time_of_the_policy() -> None:
    """A lease must not end while a slow answer is asked for again."""
    calls = 0

    async def call() -> bool:
        nonlocal calls
        calls += 1
        await asyncio.sleep(PATIENT.until_seconds)
        return True

    assert run(with_retries(call, bool, PATIENT))
    assert calls == 1
