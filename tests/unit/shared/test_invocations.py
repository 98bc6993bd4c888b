"""The event loop of a Lambda function: one for the process, which stands still while the process is frozen."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from shared.batching import Batcher
from shared.cloud.aws import invocations
from shared.cloud.aws.invocations import STOP_SECONDS, event_loop, in_time, run
from shared.errors import Temporary
from shared.time_bound import Deadlines, TooLate
from tests.aws.invoked import Context
from tests.fakes.virtual_time import VirtualLoop


class Frozen(VirtualLoop):
    """A loop on which any time may pass between two invocations, in which nothing runs."""

    def freeze(self, seconds: float) -> None:
        self._jumping.elapsed += seconds


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Frozen]:
    frozen = Frozen()
    monkeypatch.setattr(invocations, "event_loop", lambda: frozen)
    yield frozen
    frozen.close()


async def running_loop(_: float) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_invocations_share_a_loop() -> None:
    assert run(running_loop, Context()) is run(running_loop, Context()) is event_loop()


def test_the_work_has_the_remaining_time_but_for_what_the_answer_takes(loop: Frozen) -> None:
    async def left(deadline: float) -> float:
        return deadline - asyncio.get_running_loop().time()

    assert run(left, Context(10.0)) == 10.0 - STOP_SECONDS


def test_work_that_is_late_is_a_passing_failure_and_no_other_timeout_is() -> None:
    async def hang(deadline: float) -> None:
        await in_time(asyncio.Event().wait(), deadline)

    async def fail(deadline: float) -> None:
        await in_time(raise_timeout(), deadline)

    async def raise_timeout() -> None:
        raise TimeoutError("of something else")

    with pytest.raises(Temporary, match="invocation_timeout"):
        run(hang, Context(STOP_SECONDS + 0.01))
    with pytest.raises(TimeoutError, match="of something else"):
        run(fail, Context())


def test_after_a_thaw_what_waits_has_its_own_time(loop: Frozen) -> None:
    deadlines = Deadlines()

    async def wait(seconds: float, limit: float) -> float:
        begun = loop.time()
        try:
            await deadlines.wait(asyncio.sleep(seconds), begun + limit)
        except TooLate:
            return -(loop.time() - begun)
        return loop.time() - begun

    assert run(lambda _: wait(1.0, 3.0), Context()) == 1.0
    loop.freeze(3_600.0)  # over the alarm of the first
    assert run(lambda _: wait(2.0, 3.0), Context()) == 2.0
    loop.freeze(0.5)
    assert run(lambda _: wait(9.0, 3.0), Context()) == -3.0
    assert run(lambda _: wait(9.0, 1.0), Context()) == -1.0


def test_after_a_thaw_a_call_that_was_left_in_flight_does_not_hold_up_the_next(loop: Frozen) -> None:
    calls: list[list[str]] = []

    async def call(items: Sequence[str]) -> Sequence[str]:
        calls.append(list(items))
        if len(calls) == 1:
            async with asyncio.timeout(2.0):
                await asyncio.Event().wait()
        return items

    batcher = Batcher[str, str](call, max_batch=10, max_waiting=10)

    async def submit(item: str, seconds: float) -> str:
        async with asyncio.timeout(seconds):
            return await batcher.submit(item)

    with pytest.raises(TimeoutError):
        run(lambda _: submit("first", 1.0), Context())
    loop.freeze(3_600.0)
    assert run(lambda _: submit("second", 1.0), Context()) == "second"
    assert calls == [["first"], ["second"]]
