"""The time limit of attempts: one timer watches all that are under way."""

import asyncio

import pytest

from functions.notify.attempt import Deadlines, TooLate
from shared.delivery import Delivered, Outcome


async def hanging() -> Outcome:
    await asyncio.Event().wait()
    return Delivered()


async def test_each_attempt_ends_at_its_own_deadline() -> None:
    deadlines, ended = Deadlines(), list[float]()

    async def attempt(seconds: float) -> None:
        with pytest.raises(TooLate):
            await deadlines.wait(hanging(), seconds)
        ended.append(seconds)

    await asyncio.gather(attempt(0.06), attempt(0.02), attempt(0.04), attempt(-1))
    assert ended == [-1, 0.02, 0.04, 0.06]


async def test_an_attempt_that_is_late_leaves_its_task_to_go_on() -> None:
    deadlines = Deadlines()

    async def deaf() -> Outcome:
        try:
            return await hanging()
        except asyncio.CancelledError:
            return Delivered("at last")

    assert await deadlines.wait(deaf(), 0.01) == Delivered("at last")
    with pytest.raises(TooLate):
        await deadlines.wait(hanging(), 0.01)
    await asyncio.sleep(0)


async def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    task = asyncio.create_task(Deadlines().wait(hanging(), 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_of_the_destination_s_own_is_passed_on() -> None:
    async def own() -> Outcome:
        raise TimeoutError

    with pytest.raises(TimeoutError) as fault:
        await Deadlines().wait(own(), 60)
    assert not isinstance(fault.value, TooLate)
