"""Tasks beside the sweep: started at their time, bounded, and no delay for a row that is due."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest

from deploy.hooks.comparison import Remembered
from functions.notify.hook_expiry import PARTITION
from functions.notify.waiting.side_tasks import SideTasks, Task
from functions.notify.waiting.sweep import Sweeper
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.delivery import RetryLater
from shared.errors import Temporary
from shared.ports import DELIVERIES
from shared.store_ports import Kept
from tests.fakes.clock import FakeClock
from tests.fakes.configurations import compile_text
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


BASE: Final = "appAbCdEfGhIjKlMn"
CONFIG: Final = f"""
sources:
  rows: {{provider: airtable, secret: rows-secret, hook: {{token: rows-token, at: {BASE}, renew: true}}}}
  github:
    provider: github
    secret: signing
    recover: {{secret: token, repositories: [acme/shop], api: "http://127.0.0.1:1", allow_private: true}}
routes: [{{name: all, from: all, to: people}}]
destinations: {{people: {{email: {{to: ann@example.com}}}}}}
alerts: {{to: people}}
"""
SWEEP: Final = """\
import asyncio
from contextlib import suppress
from functions.notify import wiring
from shared.cloud import platform
from shared.errors import Temporary

opened = []
open_records = platform.records
platform.records = lambda settings: opened.append(settings) or open_records(settings)

async def sweep():
    sweeper = wiring.service().sweeper
    await sweeper.sweep()
    await sweeper._side_tasks.finish()
    with suppress(Temporary):
        await sweeper._side_tasks._tasks[0].run()
    print("stores opened:", len(opened))

asyncio.run(sweep())
"""


async def test_a_sweep_in_its_own_process_renews_webhooks_and_recovers_events(root: Path, tmp_path: Path) -> None:
    documents = LocalDocuments(tmp_path / FILE_NAME)
    hook = asdict(Remembered("ach1", expires_at=1.0))
    await documents.write(PARTITION, "rows", json.dumps({"hooks": {BASE: hook}}))
    documents.close()
    kept = LocalDocuments(tmp_path / "records.db", "records")
    run = Kept('{"run_at": 1.0, "complete_at": 1.0}', 9e9)
    await DocumentRecords(kept).change("recover:github", 1.0, lambda _: (None, run))
    kept.close()
    (tmp_path / "slice.json").write_text(json.dumps(compile_text(CONFIG)["notify"]), encoding="utf-8")
    environ = {
        "HOOKCHAIN_SLICE": str(tmp_path / "slice.json"),
        "HOOKCHAIN_STATE": str(tmp_path),
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "TOKEN": "a token of GitHub's",
    }
    command = [sys.executable, "-c", SWEEP]
    done = await asyncio.to_thread(subprocess.run, command, cwd=root, env=environ, capture_output=True, text=True)
    assert "webhook not renewed" in done.stdout, done.stderr
    assert "secret_unavailable" in done.stdout
    assert '"recovery failed"' in done.stdout
    assert '"source":"github","detail":"GitHub: ' in done.stdout
    assert "stores opened: 1\n" in done.stdout
    assert "renewing webhooks failed" in done.stdout, "the alert finds no bus"
