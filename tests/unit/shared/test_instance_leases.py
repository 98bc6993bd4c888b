"""Where an attempt holds a whole instance, a receiver that is not known to answer holds few of them."""

import asyncio

import pytest

from shared.errors import Temporary
from shared.outgoing import instance_leases
from shared.outgoing.gate import ADMITTED, ProcessGate
from tests.fakes.clock import FakeClock
from tests.fakes.grants import FakeGrants

TIMEOUT = 15.0


class Process:
    """A process with a memory of its own."""

    def __init__(self, name: str, grants: FakeGrants, clock: FakeClock) -> None:
        self.clock = clock
        self.gate = ProcessGate(clock.now, 100, 100)
        self.leases = instance_leases.InstanceLeases(lambda: grants, self.gate, clock, name)

    async def may_try(self, lane: str = "crm") -> bool:
        return await self.leases.enter(lane, TIMEOUT) is ADMITTED

    async def note(self, seconds: float, *, has_failed: bool) -> None:
        """Make an attempt at `crm` that takes so long, then wait until all ask again."""
        await self.gate.enter("k", "crm", "crm")
        self.gate.begin("k")
        self.clock.advance(seconds)
        self.gate.leave("k", has_failed=has_failed)
        await self.leases.leave("crm")
        self.clock.advance(instance_leases.ASK_AGAIN_SECONDS)


class World:
    def __init__(self) -> None:
        self.grants, self.clock = FakeGrants(), FakeClock()
        self.processes = [Process(f"p{number}", self.grants, self.clock) for number in range(20)]

    @property
    def writes(self) -> int:
        return self.grants.records.writes

    async def that_may_try(self) -> list[Process]:
        return [each for each in self.processes if await each.may_try()]


async def test_a_receiver_that_has_not_answered_is_tried_by_few_processes_and_each_receiver_counts_alone() -> None:
    world = World()
    assert len(await world.that_may_try()) == 1
    assert await world.processes[-1].may_try("another")


async def test_once_it_answers_all_may_try_it_and_from_then_on_a_healthy_one_writes_nothing() -> None:
    world = World()
    [first] = await world.that_may_try()
    await first.note(0.1, has_failed=False)
    assert len(await world.that_may_try()) == 20
    before = world.writes
    world.clock.advance(1_000)
    for _ in range(10):
        assert await first.may_try()
        await first.note(0.1, has_failed=False)
    assert world.writes == before


async def test_one_that_takes_long_to_answer_is_opened_for_a_part_of_the_processes() -> None:
    world = World()
    [first] = await world.that_may_try()
    await first.note(instance_leases.LONG_SECONDS + 1, has_failed=False)
    assert len(await world.that_may_try()) == instance_leases.MOST_INSTANCES


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 20), (TIMEOUT, 1)])
async def test_one_that_fails_at_once_holds_no_instance_and_one_that_hangs_stays_with_those_that_have_it(
    seconds: float, count: int
) -> None:
    world = World()
    [first] = await world.that_may_try()
    await first.note(seconds, has_failed=True)
    assert len(await world.that_may_try()) == count


async def test_a_batch_asks_once_and_a_lease_covers_what_ends_before_it() -> None:
    world = World()
    first, second = world.processes[:2]
    assert all(await asyncio.gather(*(first.may_try() for _ in range(10))))
    world.clock.advance(instance_leases.LEASE_SECONDS)
    assert await first.may_try()
    assert world.grants.records.calls == 1
    world.clock.advance(0.1)
    assert await first.may_try()
    assert world.grants.records.calls == 2, "the attempt would have ended after the lease"
    assert not any(await asyncio.gather(*(second.may_try() for _ in range(10))))
    assert world.grants.records.calls == 3, "who gets none does not ask again at once"
    world.clock.advance(instance_leases.ASK_AGAIN_SECONDS)
    assert not await second.may_try()
    assert world.grants.records.calls == 4


async def test_without_grants_nobody_tries_what_may_hang() -> None:
    world = World()
    world.grants.records.fault = "throttled"
    with pytest.raises(Temporary):
        await world.processes[0].may_try()


async def flood(process: Process, count: int, group: str = "loud", turns: int = 0) -> int:
    """Return how many messages of a batch may go to `crm`, which takes two seconds."""
    entered = [process.leases.enter_flood("crm", group, TIMEOUT, turns) for _ in range(count)]
    return [each is ADMITTED for each in await asyncio.gather(*entered)].count(True)


async def test_while_messages_wait_a_part_of_the_instances_works_for_whoever_sent_most_of_them() -> None:
    world = World()
    for process in world.processes:
        await process.note(2.0, has_failed=False)
        assert await flood(process, 10) == 10, "no message waits in the bus"
    for process in world.processes:
        process.gate.note_arrival(5.0)
        await flood(process, 10)
    found = [await flood(process, 10) for process in world.processes]
    assert sorted(found) == [0] * (20 - instance_leases.MOST_INSTANCES) + [10] * instance_leases.MOST_INSTANCES
    last = world.processes[found.index(0)]
    assert await flood(last, 1, "quiet") == 1
    world.clock.advance(instance_leases.FLOOD_SECONDS)
    assert await flood(last, 10) == 10, "no message waits any more"


async def test_a_single_message_of_a_flood_holds_no_instance_until_it_came_back_often() -> None:
    process = World().processes[0]
    await process.note(2.0, has_failed=False)
    process.gate.note_arrival(5.0)
    await flood(process, 10)
    assert await flood(process, 1) == 0
    assert await flood(process, 1, turns=instance_leases.PASSES_AFTER) == 1
