"""The time limit of publishes: one timer watches all requests that wait for the bus."""

import asyncio

import pytest

from functions.receive.receive import Confirmations
from shared.errors import Temporary


async def publishing(confirmed: asyncio.Event) -> None:
    await confirmed.wait()


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_confirmed_publish_returns_and_a_later_one_that_hangs_is_given_up() -> None:
    confirmations, confirmed = Confirmations(), asyncio.Event()
    confirmed.set()
    await confirmations.wait(publishing(confirmed), in_seconds(0.01))
    with pytest.raises(Temporary) as fault:
        await confirmations.wait(publishing(asyncio.Event()), in_seconds(0.02))
    assert fault.value.code == "bus_unavailable"


async def test_each_request_is_given_up_at_its_own_deadline() -> None:
    confirmations, ended = Confirmations(), list[float]()

    async def request(seconds: float) -> None:
        with pytest.raises(Temporary):
            await confirmations.wait(publishing(asyncio.Event()), in_seconds(seconds))
        ended.append(seconds)

    await asyncio.gather(request(0.06), request(0.02), request(0.04), request(-1))
    assert ended == [-1, 0.02, 0.04, 0.06]


async def test_a_request_that_is_cancelled_is_no_fault_of_the_bus() -> None:
    confirmations = Confirmations()
    task = asyncio.create_task(confirmations.wait(publishing(asyncio.Event()), in_seconds(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_bus_is_passed_on() -> None:
    async def refused() -> None:
        raise Temporary("queue_full", "2000 items already wait")

    with pytest.raises(Temporary, match="queue_full"):
        await Confirmations().wait(refused(), in_seconds(60))
