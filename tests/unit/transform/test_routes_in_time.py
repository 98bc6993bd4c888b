"""The routes of one event do not wait for each other."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ports import DELIVERIES
from tests.unit.transform.asked_hosts import Hosts, asking_route
from tests.unit.transform.transform_bench import Bench

SLOW: Final = asking_route("slow", "slow.example")
QUICK: Final = asking_route("quick", "quick.example")
PLAIN: Final[JsonObject] = {"name": "plain", "to": ["crm"]}


def routes_published(bench: Bench) -> list[str]:
    return [each.route for each in bench.deliveries]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


async def test_a_route_whose_step_hangs_holds_up_no_other_route_of_the_event() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    bench = Bench([SLOW, PLAIN, QUICK], services=hosts.services)

    taking = asyncio.create_task(bench.take())
    await until(lambda: routes_published(bench) == ["plain", "quick"])
    assert not taking.done()
    assert bench.journal.entries == []

    hosts.hanging["slow.example"].set()
    await taking
    assert routes_published(bench) == ["plain", "quick", "slow"]
    assert [each.route for each in bench.journaled.routes] == ["slow", "plain", "quick"]
    assert [each.outcome for each in bench.journaled.routes] == ["matched"] * 3


async def test_routes_that_ask_nobody_are_published_together_before_any_is_asked() -> None:
    hosts = Hosts()
    bench = Bench([QUICK, PLAIN, {"name": "other", "to": ["crm", "list"]}], services=hosts.services)
    published: list[int] = []

    async def publish(topic: str, messages: list[object]) -> None:
        assert topic == DELIVERIES
        published.append(len(messages))
        assert bool(hosts.asked) == (len(published) > 1)

    bench.bus.publish = publish  # type: ignore[method-assign, assignment] # it only counts
    await bench.take()
    assert published == [3, 1]


async def test_a_publish_that_fails_ends_the_event_once_the_other_routes_have_ended() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    bench = Bench([SLOW, QUICK], services=hosts.services)
    bench.bus.fault = "down"
    taking = asyncio.create_task(bench.take())
    await until(lambda: len(hosts.asked) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not taking.done()
    bench.bus.fault = None
    hosts.hanging["slow.example"].set()
    with pytest.raises(Temporary, match="down"):
        await taking
    assert routes_published(bench) == ["slow"]


async def test_an_event_whose_time_is_over_asks_no_longer() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    taking = asyncio.create_task(Bench([SLOW, SLOW | {"name": "second"}], services=hosts.services).take())
    await until(lambda: len(hosts.asked) == 2)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert len(asyncio.all_tasks()) == 1
