"""The gate of a process: who gets a place, who waits, and what a receiver's health changes."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from shared.outgoing import gate as gate_module
from shared.outgoing.gate import (
    COMPUTING_TURN_SECONDS,
    HANGING_ANSWERS,
    HEAVY_LOAD,
    HEAVY_PLACES,
    MAX_WAIT_SECONDS,
    MIN_WAIT_SECONDS,
    ComeBack,
    ProcessGate,
)
from shared.outgoing.loop_time import BEAT_SECONDS, LoopTime
from tests.fakes.clock import FakeClock

PLACES = 40


@pytest.fixture(autouse=True)
def no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(gate_module, "NEW_SECONDS", 0.0)


class World:
    """A gate whose work is named by lane and number."""

    def __init__(self, places: int = PLACES, *, can_stall: bool = False) -> None:
        """`can_stall`: the time in which the event loop does not turn counts as such."""
        self.clock = FakeClock()
        loop_time = LoopTime(self.clock.now) if can_stall else None
        self.gate = ProcessGate(self.clock.now, places, places, loop_time)
        self.count = 0
        self.keys: dict[str, list[str]] = {}

    async def enter(self, lane: str, group: str = "", turns: int = 0) -> ComeBack | None:
        self.count += 1
        key = f"{lane}-{self.count}"
        admission = await self.gate.enter(key, lane, group or lane, turns)
        if isinstance(admission, ComeBack):
            return admission
        self.gate.begin(key)
        self.keys.setdefault(lane, []).append(key)
        return None

    async def enter_all(self, lane: str, count: int, group: str = "") -> int:
        """Return how many of so many get a place."""
        return sum([await self.enter(lane, group) is None for _ in range(count)])

    def answer(self, lane: str, *, has_failed: bool | None = False, count: int | None = None) -> None:
        for _ in range(len(self.keys[lane]) if count is None else count):
            self.gate.leave(self.keys[lane].pop(0), has_failed=has_failed)

    async def learn(self, *lanes: str, seconds: float = 0.01) -> None:
        """Let each lane answer often enough to be known."""
        for lane in lanes:
            for _ in range(HANGING_ANSWERS):
                assert await self.enter(lane) is None
                self.clock.advance(seconds)
                self.answer(lane)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("health", "most"), [("healthy", PLACES * 4 // 5), ("new", PLACES // 10), ("failing", PLACES // 10)]
)
async def test_a_lane_alone_gets_four_fifths_of_the_places_or_a_tenth_if_it_is_not_known_to_be_well(
    world: World, health: str, most: int
) -> None:
    if health != "new":
        await world.learn("crm")
    if health == "failing":
        await world.enter("crm")
        world.answer("crm", has_failed=True)
    await world.learn("other")
    assert await world.enter_all("crm", PLACES) == most


async def test_a_lane_that_hangs_gets_few_places_and_the_others_all_that_they_need(world: World) -> None:
    await world.learn("crm", "other")
    assert await world.enter_all("crm", 8) == 8
    world.clock.advance(2)
    assert await world.enter_all("crm", 100) == 0, "what is under way takes longer than usual"
    for _ in range(100):
        assert await world.enter("other") is None
        world.answer("other")


@given(hostile=st.integers(1, 60), events=st.integers(1, 20), steps=st.lists(st.integers(0, 3), max_size=8))
def test_whatever_others_hold_who_sends_little_to_a_healthy_receiver_gets_a_place(
    hostile: int, events: int, steps: Sequence[int]
) -> None:
    async def scenario() -> None:
        world = World(125)
        await world.learn("quiet")
        for number in range(events):
            await world.enter_all(f"hostile-{number % hostile}", hostile)
            world.clock.advance(steps[number % len(steps)] if steps else 0)
        assert await world.enter("quiet") is None

    asyncio.run(scenario())


async def test_a_tenant_that_floods_all_its_endpoints_leaves_places_to_every_other_tenant(world: World) -> None:
    endpoints = [f"acme-{number}" for number in range(5)]
    await world.learn(*endpoints, "bolt-1")
    taken = [await world.enter_all(lane, 20, group="acme") for lane in endpoints]
    assert sum(taken) == PLACES * 4 // 5
    assert await world.enter("bolt-1", "bolt") is None


async def test_each_new_endpoint_of_a_tenant_gets_a_place_beside_those_that_hang_up_to_a_third(
    world: World,
) -> None:
    await world.learn("other")
    begun = [await world.enter(f"acme-{number}", "acme") is None for number in range(PLACES)]
    world.clock.advance(5)
    assert sum(begun) == PLACES // 3 + 1
    assert await world.enter("acme-0", "acme"), "an endpoint that hangs gets no second place"
    assert await world.enter("bolt-1", "bolt") is None
    assert await world.enter("other") is None


async def test_work_that_waits_comes_back_one_after_another_as_places_become_free(world: World) -> None:
    await world.learn("crm", "other", seconds=1.0)
    await world.enter_all("crm", PLACES)
    waits = [turn.seconds for _ in range(100) if (turn := await world.enter("crm"))]
    assert waits == sorted(waits)
    assert waits[0] >= MIN_WAIT_SECONDS
    assert 2.0 < waits[-1] < 6.0, "a hundred, where 32 end each second"


async def test_work_for_a_healthy_endpoint_does_not_wait_behind_that_for_endpoints_of_its_group_that_hang(
    world: World,
) -> None:
    await world.learn("other", "healthy")
    await world.enter_all("hanging", 10, "acme")
    world.clock.advance(15)
    assert await world.enter_all("hanging", 200, "acme") == 0
    await world.enter_all("healthy", PLACES, "acme")
    turn = await world.enter("healthy", "acme")
    assert turn is not None
    assert turn.seconds < 5


async def test_work_that_came_back_goes_before_new_work_of_its_group(world: World) -> None:
    await world.learn("crm", "other")
    await world.enter_all("crm", PLACES)
    world.answer("crm", has_failed=None, count=3)
    assert await world.enter("crm") is not None, "new work goes to the end"
    assert await world.enter("crm", turns=1) is None


@pytest.mark.parametrize("places", [PLACES, 5 * PLACES])  # the second has so many that few are used
async def test_while_messages_wait_in_the_bus_who_has_many_places_gets_no_more_and_others_do(places: int) -> None:
    world = World(places)
    await world.learn("crm", "other")
    assert await world.enter_all("crm", int(HEAVY_LOAD)) == places * 4 // 5
    world.answer("crm")
    world.gate.note_arrival(5.0)
    assert await world.enter_all("crm", PLACES) == HEAVY_PLACES
    assert await world.enter("other") is None
    world.gate.note_arrival(0.0)
    assert await world.enter_all("crm", 10) == 10


async def test_work_that_a_queue_sends_back_returns_at_the_pace_of_a_fifth_of_the_places() -> None:
    world = World(5 * PLACES)
    await world.learn("other")
    await world.learn("crm", seconds=0.5)
    await world.enter_all("crm", 4 * int(HEAVY_LOAD))
    world.answer("crm")
    world.gate.note_arrival(5.0)
    assert await world.enter_all("crm", PLACES) == HEAVY_PLACES
    for _ in range(40):  # it works with four places for a while
        world.clock.advance(0.125)
        world.gate.note_arrival(5.0)
        world.answer("crm", count=1)
        await world.enter("crm")
    turns = [await world.enter("crm", turns=1) for _ in range(100)]
    waits = [turn.seconds for turn in turns if turn]
    assert len(waits) == 100
    assert max(waits) - min(waits) == pytest.approx(99 * 0.5 / PLACES, abs=0.001)


async def test_without_a_neighbor_work_waits_in_the_process_and_is_not_put_back(world: World) -> None:
    await world.learn("crm")
    entering = [asyncio.create_task(world.enter("crm")) for _ in range(PLACES)]
    await asyncio.sleep(0.01)
    assert sum(task.done() for task in entering) == PLACES * 4 // 5
    while not all(task.done() for task in entering):
        world.answer("crm", count=1)
        await asyncio.sleep(0.001)
        waiting = sum(not task.done() for task in entering)
        assert not waiting or len(world.keys["crm"]) == PLACES * 4 // 5, "what waits uses no place"
    assert {await task for task in entering} == {None}


async def test_an_attempt_hangs_only_if_it_takes_far_longer_than_usual_and_each_is_reported_once(world: World) -> None:
    await world.enter("new")
    world.clock.advance(100)
    assert world.gate.report_hanging("new") == [], "it has no usual duration"
    await world.learn("crm", seconds=1.0)
    await world.enter_all("crm", 2)
    world.clock.advance(9)
    assert world.gate.report_hanging("crm") == []
    world.clock.advance(2)
    hanging = world.gate.report_hanging("crm")
    assert hanging == world.keys["crm"]
    assert world.gate.report_hanging("crm") == []
    assert world.gate.is_known_to_hang("crm", hanging[0])
    world.answer("crm", has_failed=True)
    assert not world.gate.is_known_to_hang("crm", hanging[0])
    assert world.gate.report_hanging("nobody") == ()


async def test_while_the_process_computes_or_is_paused_no_attempt_hangs() -> None:
    world = World(can_stall=True)
    await world.learn("crm", "other")
    assert await world.enter_all("crm", 2) == 2
    world.clock.advance(60)
    assert world.gate.health("crm") == "healthy"
    assert world.gate.report_hanging("crm") == ()
    await asyncio.sleep(2 * BEAT_SECONDS)
    assert world.gate.health("crm") == "healthy"
    world.answer("crm", has_failed=False)
    assert world.gate.usual_seconds("crm") < 1


async def test_only_an_attempt_that_may_compute_for_long_waits_while_others_compute() -> None:
    world = World(can_stall=True)
    await world.learn("heavy", "light")
    for lane, seconds in (("heavy", 1.0), ("light", 0.001)):
        await world.enter(lane)
        world.gate.note_computing(world.keys[lane][0], seconds)
    assert await world.enter("new") is None
    assert await world.gate.wait_to_compute(world.keys["heavy"][0])
    world.clock.advance(0.5)  # in one turn
    assert await world.gate.wait_to_compute(world.keys["light"][0])
    waiting = [asyncio.create_task(world.gate.wait_to_compute(world.keys[lane][0])) for lane in ("heavy", "new")]
    await asyncio.sleep(2 * BEAT_SECONDS)
    assert not any(task.done() for task in waiting), "the loop has as much time for others as the turn took"
    for _ in range(6):
        world.clock.advance(0.1)
        await asyncio.sleep(2 * BEAT_SECONDS)
    assert [task.done() and task.result() for task in waiting] == [True, True]
    world.clock.advance(0.5)
    late = asyncio.create_task(world.gate.wait_to_compute(world.keys["heavy"][0]))
    await asyncio.sleep(0)
    world.clock.advance(COMPUTING_TURN_SECONDS)
    assert not await late


async def test_the_places_grow_as_the_bus_s_window_does_and_halve_with_it(world: World) -> None:
    gate = ProcessGate(world.clock.now, 40, 8)
    world.gate = gate
    await world.learn("crm", "other")
    assert await world.enter_all("crm", 40) == 7
    world.answer("crm", has_failed=None)
    for _ in range(100):
        gate.note_answer(is_acknowledged=True)
    world.clock.advance(MAX_WAIT_SECONDS)
    await world.learn("other")
    assert await world.enter_all("crm", 40) == 32
    world.answer("crm", has_failed=None)
    gate.note_answer(is_acknowledged=False)
    world.clock.advance(MAX_WAIT_SECONDS)
    await world.learn("other")
    assert await world.enter_all("crm", 40) == 16


async def test_what_is_remembered_is_bounded_and_what_is_under_way_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "MAX_REMEMBERED", 10)
    await world.learn("kept")
    await world.enter("kept")
    for number in range(50):
        await world.enter(f"lane-{number}", f"group-{number}")
        world.answer(f"lane-{number}")
    world.clock.advance(100)
    assert world.gate.report_hanging("kept") == world.keys["kept"]
