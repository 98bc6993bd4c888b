"""The models of the clouds' buses hold what their documentation says of flow control."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from shared.ports import DELIVERIES, BusMessage
from tests.fakes.virtual_time import START, run
from tests.simulation.buses import BATCH, FIRST_WINDOW, INSTANCES, PLACES, CloudBus, Handler, PushBus, QueueBus
from tests.simulation.faults import CALM, Weather


class Taker:
    """Takes messages for `seconds` each, by their text. `at_once` has how many it had when each came, and `times`."""

    def __init__(self, seconds: Callable[[bytes], float] = lambda _: 1.0, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.times: list[float] = []
        self.at_once: list[int] = []
        self._seconds = seconds
        self._now = 0

    async def take(self, instance: int, body: bytes) -> bool:
        assert 0 <= instance < INSTANCES
        self._now += 1
        self.at_once.append(self._now)
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds(body))
        self._now -= 1
        return self.acknowledges


def brought(kind: type[CloudBus], take: Handler, count: int, seconds: float, delay: float = 0.0) -> CloudBus:
    """Publish so many messages, of which the first is `odd`, and let so many seconds pass."""

    async def live() -> CloudBus:
        bus = kind(Weather(Random(1), CALM), START)
        bus.subscribe(DELIVERIES, take)
        for number in range(count):
            attributes = {"kind": "plain" if number else "odd"}
            await bus.publish(DELIVERIES, [BusMessage(b"", attributes, delay)])
            await asyncio.sleep(0.2 if not number else 0.0)
        await asyncio.sleep(seconds)
        return bus

    return run(live())


def test_the_window_of_pushes_begins_small_and_doubles_while_all_are_acknowledged() -> None:
    taker = Taker()
    brought(PushBus, taker.take, 2_000, 30)
    assert max(at_once for at, at_once in zip(taker.times, taker.at_once, strict=True) if at < 1) == FIRST_WINDOW
    assert max(at_once for at, at_once in zip(taker.times, taker.at_once, strict=True) if at < 5) >= 8 * FIRST_WINDOW
    assert max(taker.at_once) <= INSTANCES * PLACES
    assert len(taker.times) == 2_000


def test_a_subscription_whose_pushes_fail_pauses_as_a_whole() -> None:
    taker = Taker(lambda _: 0.01, acknowledges=False)
    bus = brought(PushBus, taker.take, 200, 120)
    assert bus.brought < 30
    assert not bus.is_empty


@pytest.mark.parametrize("count", [1 + BATCH, INSTANCES * BATCH + 1])
def test_an_invocation_on_lambda_ends_with_its_slowest_message(count: int) -> None:
    """The first message is alone in its batch; then one instance is busy for a minute, and the others are not."""
    taker = Taker(lambda body: 60.0 if b"odd" in body else 1.0)
    bus = brought(QueueBus, taker.take, count, 30)
    assert max(taker.at_once) <= INSTANCES * BATCH
    assert bus.brought == count
    assert not bus.is_empty


def test_a_delay_is_kept_where_the_bus_has_one() -> None:
    for kind, least in ((QueueBus, 20.0), (PushBus, 0.0)):
        taker = Taker()
        brought(kind, taker.take, 1, 60, delay=20.0)
        assert least <= taker.times[0] < least + 1


@pytest.mark.parametrize("kind", [PushBus, QueueBus])
def test_what_is_not_acknowledged_comes_again(kind: type[CloudBus]) -> None:
    taker = Taker(acknowledges=False)

    async def take(instance: int, body: bytes) -> bool:
        await taker.take(instance, body)
        return len(taker.times) == 2

    assert brought(kind, take, 1, 60).is_empty
    assert taker.times[1] - taker.times[0] >= 10
