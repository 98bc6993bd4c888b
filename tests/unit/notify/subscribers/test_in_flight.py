"""A slow endpoint: how much of a process it may take from the others."""

import asyncio

import pytest

from functions.notify.subscribers.in_flight import LIMIT, MAX_WAITING, NEW_OF_TENANT, SLOW_LIMIT, SLOW_OF_TENANT
from functions.notify.work import Result
from shared.fetch import Fetched, Outgoing
from shared.ports import BusMessage
from tests.fakes.fan_out import OK, FakeWorld, paid


class SlowFetch:
    """Answers requests to `slow` hosts only once they are let go."""

    def __init__(self, slow: str) -> None:
        self.slow = slow
        self.waiting: list[asyncio.Future[Fetched]] = []
        self.taken = 0

    async def fetch(self, request: Outgoing) -> Fetched:
        if self.slow not in request.url:
            self.taken += 1
            return OK
        answer: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        return await answer


async def begun(world: FakeWorld, messages: list[BusMessage]) -> list[asyncio.Task[Result]]:
    tasks = [asyncio.create_task(world.notifier.take_message(message)) for message in messages]
    for _ in range(100):
        await asyncio.sleep(0)
    return tasks


async def answered(slow: SlowFetch, tasks: list[asyncio.Task[Result]]) -> None:
    """Let all of them have their answers."""
    while not all(task.done() for task in tasks):
        for answer in slow.waiting:
            if not answer.done():
                answer.set_result(OK)
        await asyncio.sleep(0)
    slow.waiting.clear()


@pytest.fixture
async def world() -> FakeWorld:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint(1)
    await world.endpoint(2)
    return world


async def fan_out(world: FakeWorld, first: int, count: int) -> list[BusMessage]:
    world.published()
    for number in range(first, first + count):
        await world.publish(paid(number))
    return list(world.published())


async def test_an_endpoint_that_does_not_answer_has_two_places_and_the_others_wait_without_an_attempt(
    world: FakeWorld,
) -> None:
    slow = SlowFetch("acme-1")
    world.fetch = slow  # type: ignore[assignment]
    world.start()
    await answered(slow, await begun(world, await fan_out(world, 100, 1)))
    first = await begun(world, (await fan_out(world, 1, 2)))
    world.clock.advance(2)
    others = await begun(world, (await fan_out(world, 3, 20)))
    assert len(slow.waiting) == SLOW_LIMIT
    assert slow.taken == 23, "the other endpoint gets all"
    deferred = [task.result() for task in others if task.done() and task.result().outcome == "deferred"]
    assert len(deferred) == 20
    assert {each.attempt_number for each in deferred} == {1}, "no attempt counts"
    for answer in slow.waiting:
        answer.set_result(OK)
    assert {result.outcome for result in await asyncio.gather(*first)} == {"delivered"}


async def test_those_that_wait_come_back_one_after_another(world: FakeWorld) -> None:
    slow = SlowFetch("acme-1")
    world.fetch = slow  # type: ignore[assignment]
    world.start()
    await answered(slow, await begun(world, await fan_out(world, 100, 1)))
    tasks = await begun(world, (await fan_out(world, 1, 2)))
    world.clock.advance(2)
    await begun(world, (await fan_out(world, 3, 6)))
    rows = [row for row in await world.ledger.rows(100) if row.state == "retry_scheduled"]
    times = sorted(row.retry_at or 0.0 for row in rows)
    assert len(set(times)) == len(times) == 6
    assert times[0] >= world.clock.now() + 1
    for task in tasks:
        task.cancel()


async def test_a_quick_endpoint_has_more_places_and_a_burst_waits_a_moment_for_them(world: FakeWorld) -> None:
    slow = SlowFetch("acme-1")
    world.fetch = slow  # type: ignore[assignment]
    world.start()
    await answered(slow, await begun(world, await fan_out(world, 100, 1)))
    tasks = await begun(world, (await fan_out(world, 1, LIMIT + 8)))
    assert len(slow.waiting) == LIMIT
    await answered(slow, tasks)
    assert {result.outcome for result in await asyncio.gather(*tasks)} == {"delivered"}


async def test_a_tenant_whose_endpoints_do_not_answer_has_few_places_and_the_others_all_of_theirs() -> None:
    world = FakeWorld()
    for tenant in ("acme", "bolt"):
        await world.tenant(tenant)
    for number in range(1, 21):
        await world.endpoint(number)
    await world.endpoint(1, "bolt")
    slow = SlowFetch("acme-")
    world.fetch = slow  # type: ignore[assignment]
    world.start()
    tasks, most = [], 0
    for number in range(1, 30, 2):
        messages = await fan_out(world, number, 1)
        await world.publish(paid(number + 1, {"accountId": "bolt"}))
        tasks += await begun(world, [*messages, *world.published()])
        world.clock.advance(1.5)
        most = max(most, len([each for each in slow.waiting if not each.done()]))
    assert slow.taken == 15, "the other tenant gets all"
    assert most <= 2 * NEW_OF_TENANT
    world.clock.advance(20)
    await answered(slow, tasks)
    tasks = await begun(world, await fan_out(world, 40, 5))
    assert len(slow.waiting) == SLOW_OF_TENANT, "all of them are known to be slow"
    await answered(slow, tasks)


async def test_the_new_endpoints_of_a_tenant_are_tried_one_after_another_in_one_burst() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(100):
        await world.endpoint(number)
    results = await asyncio.gather(*await begun(world, await fan_out(world, 1, 1)))
    assert {result.outcome for result in results} == {"delivered"}


async def test_an_endpoint_that_answers_again_is_not_held_back_by_what_waited_for_it(world: FakeWorld) -> None:
    slow = SlowFetch("acme-1")
    world.fetch = slow  # type: ignore[assignment]
    world.start()
    tasks = await begun(world, await fan_out(world, 1, 1))
    world.clock.advance(2)
    await begun(world, await fan_out(world, 2, 400))
    await answered(slow, tasks)
    world.clock.advance(4_000)
    await answered(slow, await begun(world, await fan_out(world, 500, 1)))
    tasks = await begun(world, await fan_out(world, 501, LIMIT + MAX_WAITING + 5))
    rows = [row for row in await world.ledger.rows(1_000) if row.state == "retry_scheduled"]
    waits = [row.retry_at - world.clock.now() for row in rows if row.retry_at and row.retry_at > world.clock.now()]
    assert len(waits) == 5
    assert max(waits) < 10
    await answered(slow, tasks)


async def test_an_endpoint_whose_attempts_end_has_its_places_again(world: FakeWorld) -> None:
    for number in range(1, 60):
        await world.deliver(paid(number))
        world.clock.advance(1)
    world.fetch.answers["https://acme-1.example.com/in"] = Fetched(500, (), b"")
    for number in range(60, 70):
        await world.deliver(paid(number))
    world.fetch.answers["https://acme-1.example.com/in"] = OK
    for _ in range(10):
        world.clock.advance(4_000)
        await world.sweep()
    assert {row.state for row in await world.ledger.rows(1_000)} == {"delivered"}
