"""Times, the cache of values that expire, and time limits of many tasks, which one timer watches."""

import asyncio
import math
import threading
import time
from datetime import UTC, datetime

import pytest
import uvloop
from hypothesis import given, strategies as st

from shared import time_bound
from shared.cloud.retries import PATIENT, with_retries
from shared.outgoing.loop_time import BEAT_SECONDS, LoopTime
from shared.time_bound import LATE_SECONDS, Deadlines, TooLate, bounded, measure_computing
from shared.timed_cache import TimedCache
from shared.times import duration_text, rfc3339, unix_seconds
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run


@given(st.floats(-6e10, 2.5e11) | st.integers(0, 2_000_000_000_000).map(lambda milliseconds: milliseconds / 1000))
def test_a_time_is_written_as_the_standard_library_writes_it(unix_seconds: float) -> None:
    when = datetime.fromtimestamp(unix_seconds, UTC)
    assert rfc3339(unix_seconds) == when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("unix_seconds", [float("nan"), float("inf"), 1e12, -1e12, 1e17, 1e300])
def test_what_is_no_time_raises(unix_seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        rfc3339(unix_seconds)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_that_cannot_be_written_in_utc_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not in the years 1 to 9999 of UTC"):
        unix_seconds(text)
    last = "9999-12-31T23:59:59.500Z"
    assert rfc3339(unix_seconds(last)) == last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.25, "0.25 s"), (1 / 3, "0.333 s"), (5.0, "5 s"), (90, "90 s"), (600.0, "10 min"), (1800.0, "30 min")),
        *((5400, "90 min"), (86_400, "1 d"), (1_800_001.0, "1,800,001 s"), (0, "0 s")),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


NOW = 1_790_000_000.0


def test_what_was_asked_for_last_stays_longest() -> None:
    cache: TimedCache[bytes] = TimedCache(100, weight=len)
    for name in ("a", "b", "c"):
        cache.put(name, b"x" * 30, NOW, 60)
    assert cache.get("a", NOW)
    cache.put("d", b"x" * 30, NOW, 60)
    assert [name for name in "abcd" if cache.get(name, NOW)] == ["a", "c", "d"]


@pytest.mark.parametrize(("seconds_later", "kept"), [(0, b"x"), (59, b"x"), (60, None), (-1, b"x"), (-3_600, None)])
def test_a_value_is_kept_for_its_time_unless_the_clock_was_set_back(seconds_later: float, kept: bytes | None) -> None:
    cache: TimedCache[bytes] = TimedCache(100)
    cache.put("a", b"x", NOW, 60)
    assert cache.get("a", NOW + seconds_later) == kept
    assert cache.last("a") == b"x"


def test_a_value_that_is_put_again_weighs_once() -> None:
    cache: TimedCache[bytes] = TimedCache(100, weight=len)
    for _ in range(10):
        cache.put("a", b"x" * 30, NOW, 60)
    cache.put("b", b"x" * 60, NOW, 60)
    assert cache.get("a", NOW)
    assert cache.get("b", NOW)


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


def test_a_deadline_that_comes_at_once_in_uvloop_is_kept_and_so_are_the_next() -> None:
    deadlines = Deadlines()

    async def wait_twice() -> None:
        for _ in range(2):
            with pytest.raises(TooLate):
                await deadlines.wait(until(asyncio.Event()), math.nextafter(in_seconds(0), math.inf))

    uvloop.run(asyncio.wait_for(wait_twice(), 1))


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


async def test_a_deadline_that_is_over_does_not_cancel_what_ends_at_once() -> None:
    async def is_cancelled() -> bool:
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0

    assert not await Deadlines().wait(is_cancelled(), in_seconds(-1))
    await asyncio.sleep(0.01)  # nor what its task does next


async def test_what_came_while_the_loop_did_not_turn_is_not_late() -> None:
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Timer(0.02, loop.call_soon_threadsafe, (came.set,)).start()
    loop.call_soon(time.sleep, 3 * LATE_SECONDS)
    await Deadlines().wait(until(came), in_seconds(0.05))


async def test_a_loop_that_never_turns_on_time_gives_up_all_the_same() -> None:
    async def compute() -> None:
        while True:
            time.sleep(1.5 * LATE_SECONDS)
            await asyncio.sleep(0)

    computing = asyncio.create_task(compute())
    with pytest.raises(TooLate):
        await Deadlines().wait(until(asyncio.Event()), in_seconds(0.01))
    computing.cancel()


async def test_time_in_which_the_loop_does_not_turn_does_not_count() -> None:
    clock = FakeClock()
    loop_time = LoopTime(clock.now)
    loop_time.enter()
    began_at = loop_time.now()
    for _ in range(2):
        clock.advance(3)  # within one turn
        await asyncio.sleep(2 * BEAT_SECONDS)
    assert loop_time.now() - began_at == pytest.approx(2 * LATE_SECONDS)
    clock.advance(BEAT_SECONDS)
    assert loop_time.now() - began_at == pytest.approx(2 * LATE_SECONDS + BEAT_SECONDS)
    loop_time.leave()


async def test_the_computations_of_a_task_are_measured_and_not_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(0.0)
    monkeypatch.setattr(time_bound, "perf_counter", clock.now)

    async def compute(times: int) -> float:
        computing = measure_computing()
        for _ in range(times):
            with bounded():
                clock.advance(1.0)
            clock.advance(100.0)
            await asyncio.sleep(0)
        return computing.seconds

    few, many = await asyncio.gather(compute(1), compute(4))
    assert (few, many) == (1.0, 4.0)


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
