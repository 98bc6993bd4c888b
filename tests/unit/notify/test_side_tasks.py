"""Tasks beside the sweep: started at their time, bounded, and no delay for a row that is due."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from functions.notify.waiting.side_tasks import SideTasks, Task
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import RetryLater
from shared.errors import Temporary
from shared.ports import DELIVERIES
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination
from tests.fakes.notifier import FakeNotifier, a_delivery


class Work:
    def __init__(self, result: Callable[[], Awaitable[None]] | Exception | None = None) -> None:
        self.result = result
        self.runs = 0

    async def __call__(self) -> None:
        self.runs += 1
        if isinstance(self.result, Exception):
            raise self.result
        if self.result:
            await self.result()


async def hang() -> None:
    await asyncio.Event().wait()


async def test_a_task_runs_when_its_time_has_come() -> None:
    work, clock = Work(), FakeClock()
    side_tasks = SideTasks([Task("asking", 60.0, work)], clock)
    for seconds, runs in ((0, 1), (59, 1), (1, 2), (-3_600, 3)):  # before the last one, somebody set the clock back
        clock.advance(seconds)
        side_tasks.start()
        await side_tasks.finish()
        assert work.runs == runs


@pytest.mark.parametrize(
    ("result", "severity", "text"),
    [
        (hang, "WARNING", "it did not end within 0 s"),
        (Temporary("documents_unavailable", "down"), "WARNING", "down"),
        (ValueError("a secret"), "ERROR", "internal_error"),
    ],
)
async def test_a_task_that_fails_or_hangs_is_a_line_in_the_log(
    result: Exception, severity: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    side_tasks = SideTasks([Task("asking", 60.0, Work(result))], FakeClock(), limit_seconds=0.01)
    side_tasks.start()
    await side_tasks.finish()
    line = capsys.readouterr().out
    assert json.loads(line)["severity"] == severity
    assert "asking failed" in line
    assert text in line
    assert "a secret" not in line


async def test_a_task_that_hangs_is_not_started_again_and_stops_no_other() -> None:
    hanging, other, clock = Work(hang), Work(), FakeClock()
    side_tasks = SideTasks([Task("hanging", 60.0, hanging), Task("other", 60.0, other)], clock, limit_seconds=0.1)
    for _ in range(2):
        side_tasks.start()
        await asyncio.sleep(0)
        clock.advance(60)
    await side_tasks.finish()
    assert (hanging.runs, other.runs) == (1, 2)


@pytest.mark.parametrize("looks_ahead", [False, True])
async def test_due_rows_wait_for_no_task(looks_ahead: bool) -> None:
    """Where it looks ahead, the sweep ends after the task, because nothing runs after the answer."""
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    await notifier.take(a_delivery(0))
    notifier.clock.advance(6)
    published: list[int] = []

    async def look() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        published.append(len(notifier.bus.on(DELIVERIES)))

    side_tasks = SideTasks([Task("asking", 60.0, Work(look))], notifier.clock)
    sweeper = Sweeper(
        notifier.ledger,
        notifier.bus,
        notifier.clock,
        notifier.clock.sleep,
        looks_ahead=looks_ahead,
        side_tasks=side_tasks,
    )
    assert await sweeper.sweep() == 1
    assert published == ([1] if looks_ahead else [])
    await side_tasks.finish()
    assert published == [1]
