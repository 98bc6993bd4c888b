"""The sweep: what is due is published once, the tasks beside it, and what it says of the whole deployment."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, strategies as st

from deploy.hooks.comparison import RememberedHook
from functions.notify.alerts.monitor import Monitor
from functions.notify.hook_expiry import PARTITION
from functions.notify.waiting.due import BACK_SECONDS
from functions.notify.waiting.levels import EVERY_SECONDS, SweepLevels
from functions.notify.waiting.publication import Backlog, DueCount, DuePublisher, Pace
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS, next_retry_at
from functions.notify.waiting.side_tasks import SideTasks, Task
from functions.notify.waiting.sweep import BATCH_ROWS, STAY_SECONDS, Sweeper
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.delivery import ROUTE_ITSELF, Delivered, Disabled, RetryLater, Unknown
from shared.errors import Temporary
from shared.ports import DELIVERIES, BusMessage
from shared.store_ports import Kept
from shared.telemetry.metrics import Metrics
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.configurations import compile_text
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, a_delivery
from tests.stand_ins.otlp_receiver import points_of


async def waiting(count: int = 1) -> FakeNotifier:
    """Deliveries that were tried once and whose time to be tried again has come."""
    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * count))
    for number in range(count):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(6)
    return notifier


async def test_what_is_due_is_published_as_it_came_with_its_new_fence() -> None:
    notifier = await waiting()
    before = await notifier.row()
    assert await notifier.sweep() == 1
    (message,) = notifier.bus.on(DELIVERIES)
    row = await notifier.row()
    assert message.data == before.message
    assert message.attributes["due"] == str(row.fence) != str(before.fence)
    assert message.attributes["ce-type"] == "hookchain.delivery"


async def test_more_than_one_batch_is_published_in_one_sweep() -> None:
    notifier = await waiting(BATCH_ROWS * 2 + 1)
    assert await notifier.sweep() == BATCH_ROWS * 2 + 1


async def test_sweeps_that_overlap_publish_each_delivery_once() -> None:
    notifier = await waiting(30)
    assert sum(await asyncio.gather(*(notifier.sweep() for _ in range(4)))) == 30


async def test_a_sweep_that_left_rows_behind_does_not_raise_the_lower_bound() -> None:
    notifier = await waiting()
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    notifier.bus.fault = "down"
    for _ in range(3):
        with pytest.raises(Temporary):
            await sweeper.sweep()
        notifier.clock.advance(BACK_SECONDS)
    notifier.bus.fault = None
    assert await sweeper.sweep() == 1


async def test_rows_that_a_failed_publish_gives_back_keep_their_own_times() -> None:
    notifier = await waiting(2)
    ledger, now = notifier.ledger, notifier.clock.now()
    times = {a_delivery(0).id: now + 10, a_delivery(1).id: now + 50}
    moves = [(row.key, row.fence, times[row.key]) for row in await ledger.due(now, 10, 0.0)]
    await ledger.postpone_all(moves, now)
    notifier.bus.fault = "down"
    publisher = DuePublisher(ledger, notifier.bus, notifier.clock, None, Pace(), Backlog())
    await publisher.publish_ahead(await ledger.due(now + 60, 10, 0.0), now)
    assert publisher.is_bus_down
    assert {row.key: row.retry_at for row in await ledger.due(now + 1_000, 10, 0.0)} == times


async def test_a_row_that_cannot_be_moved_holds_up_no_other() -> None:
    """It is due first again and again, and the others, moved ahead, would each time be due once more too late."""

    class OneStuck(FakeLedger):
        async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
            if key == a_delivery(1).id:
                raise Temporary("ledger_unavailable", "others kept writing it")
            return await super().postpone(key, fence, now, at)

    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * 3), ledger=OneStuck())
    for number in range(3):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(6)
    with pytest.raises(Temporary, match="others kept writing it"):
        await notifier.sweep()
    published = {message.attributes["ce-id"] for message in notifier.bus.on(DELIVERIES)}
    assert published == {a_delivery(0).id, a_delivery(2).id}


async def test_a_look_for_alerts_that_fails_holds_up_no_delivery() -> None:
    class Blind(Monitor):
        def __init__(self) -> None:
            pass

        async def check(self) -> None:
            raise Temporary("records_unavailable", "there is no such table")

    notifier = await waiting()
    with pytest.raises(Temporary, match="no such table"):
        await Sweeper(notifier.ledger, notifier.bus, notifier.clock, monitor=Blind()).sweep()
    assert len(notifier.bus.on(DELIVERIES)) == 1


async def test_a_message_that_arrived_without_being_confirmed_starts_no_second_retry() -> None:
    class Unconfirmed(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            await super().publish(topic, messages)
            raise Temporary("bus_unavailable", "it stored them, and the connection broke")

    notifier = await waiting()
    bus = Unconfirmed()
    with pytest.raises(Temporary):
        await Sweeper(notifier.ledger, bus, notifier.clock).sweep()
    (stale,) = bus.on(DELIVERIES)
    assert (await notifier.take_message(stale)).outcome == "waiting"
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]
    assert (await notifier.take_message(stale)).outcome == "finished"


WAITS = (70.0, 90.0, 100.0, 500.0)


async def waiting_ahead(max_delay_seconds: float) -> FakeNotifier:
    """Deliveries that wait longer than a timer of their own does."""
    answers = [RetryLater("busy there", after_seconds=wait) for wait in WAITS]
    notifier = FakeNotifier(FakeDestination(*answers), bus=FakeBus(max_delay_seconds))
    for number, _ in enumerate(WAITS):
        await notifier.take(a_delivery(number))
    return notifier


async def sweep_ahead(notifier: FakeNotifier) -> list[BusMessage]:
    """The messages that one more sweep publishes."""
    before = len(notifier.bus.on(DELIVERIES))
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, looks_ahead=True)
    await sweeper.sweep()
    return notifier.bus.on(DELIVERIES)[before:]


async def test_where_the_bus_has_delays_it_keeps_them_back_until_their_time() -> None:
    notifier = await waiting_ahead(max_delay_seconds=900)
    due = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep_ahead(notifier)

    assert {notifier.clock.now() + message.delay_seconds for message in messages} == set(due[:3])
    assert notifier.clock.now() == 1_790_000_060  # nothing waited in the sweep
    assert await sweep_ahead(notifier) == []
    notifier.clock.advance(60)
    assert [(await notifier.take_message(message)).outcome for message in messages] == ["delivered"] * 3


async def test_where_it_has_none_the_sweep_waits_for_them() -> None:
    notifier = await waiting_ahead(max_delay_seconds=0)
    rows = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep_ahead(notifier)

    assert len(messages) == len([at for at in rows if at <= 1_790_000_060 + STAY_SECONDS]) >= 2
    assert notifier.clock.now() <= 1_790_000_060 + STAY_SECONDS
    assert {message.delay_seconds for message in messages} == {0.0}


SCHEDULE = (5.0, 300.0, 1_800.0)
NOW = 1_790_000_000.0


def test_the_same_attempt_always_waits_the_same_and_others_differ() -> None:
    waits = [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert waits == [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert len(set(waits)) == 50


@given(number=st.integers(1, 3), after=st.floats(0, 2 * MAX_ASKED_SECONDS) | st.just(float("inf")))
def test_a_wait_is_the_schedules_or_what_was_asked_up_to_a_day_and_a_fifth_more(number: int, after: float) -> None:
    at = next_retry_at(SCHEDULE, number, "d", NOW, after)
    assert at is not None
    least = max(SCHEDULE[number - 1], min(after, MAX_ASKED_SECONDS))
    assert least <= at - NOW <= 1.2 * least


async def test_a_delivery_that_was_held_has_its_whole_schedule_once_it_is_resumed() -> None:
    """Its attempts did not reach the destination, or could not have succeeded before the operator acted."""
    held = Disabled("set the secret")
    notifier = FakeNotifier(
        FakeDestination(RetryLater("away"), held, held, RetryLater("away"), Unknown("no answer"), held, Delivered())
    )
    await notifier.take()
    notifier.clock.advance(10)
    await notifier.sweep_and_take()
    waits = []
    for _ in range(2):  # the first release is held again
        await notifier.ledger.release("crm", notifier.clock.now())
        await notifier.sweep_and_take()
    for _ in range(2):
        row = await notifier.row()
        waits.append((row.retry_at or 0) - notifier.clock.now())
        notifier.clock.advance(waits[-1])
        await notifier.sweep_and_take()
    assert (await notifier.row()).state == "held"
    assert 5 <= waits[0] <= 6
    assert 300 <= waits[1] <= 360


async def test_a_short_wait_is_the_bus_s_and_the_ledger_keeps_it_too() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(max_delay_seconds=900))
    await notifier.take()
    (message,) = notifier.bus.on(DELIVERIES)
    row = await notifier.row()

    assert row.retry_at == notifier.clock.now() + message.delay_seconds
    assert 5 <= message.delay_seconds <= 6
    notifier.clock.advance(message.delay_seconds)
    assert (await notifier.take_message(message)).outcome == "delivered"


async def test_a_bus_that_fails_leaves_the_wait_to_the_sweep() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(max_delay_seconds=900))
    notifier.bus.fault = "down"
    assert (await notifier.take()).outcome == "retry_scheduled"
    notifier.bus.fault = None
    notifier.clock.advance(6)
    assert await notifier.sweep() == 1


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
    hook = asdict(RememberedHook("ach1", expires_at=1.0))
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


NAMES = ("crm", "mail", "audit")


class Swept:
    """Levels over a fake ledger."""

    def __init__(self) -> None:
        self.clock, self.ledger = FakeClock(), FakeLedger()
        self.metrics = Metrics({}, self.clock.now)
        self.is_taken = True
        self.levels = SweepLevels(lambda: self.metrics if self.is_taken else None, NAMES, self.ledger, self.clock)

    async def note(self, **backlogs: DueCount) -> dict[tuple[str, str], float]:
        """Note what a sweep found, and return what is sent after it."""
        await self.levels.note(backlogs)
        points = points_of(self.metrics.take()) if self.metrics.is_waiting else []
        return {(point.name, str(*point.attributes.values())): point.value for point in points}


async def test_each_minute_has_the_backlog_of_each_destination_and_the_number_in_each_state() -> None:
    swept = Swept()
    await swept.ledger.disable("mail", "no such sender", swept.clock.now())
    await swept.ledger.pause("audit", swept.clock.now() + 600, swept.clock.now(), "it keeps failing")
    assert await swept.note(crm=DueCount(7, 12.5), removed=DueCount(2, 1.0)) == {
        # Another process may have set that of routes.
        **{("hookchain.backlog", name): 0 for name in ("mail", "audit", ROUTE_ITSELF)},
        **{("hookchain.backlog.oldest", name): 0 for name in ("mail", "audit", ROUTE_ITSELF)},
        ("hookchain.backlog", "crm"): 7,
        ("hookchain.backlog.oldest", "crm"): 12.5,
        ("hookchain.backlog", "removed"): 2,
        ("hookchain.backlog.oldest", "removed"): 1,
        **{("hookchain.destinations", state): 1 for state in ("delivering", "paused", "disabled")},
    }
    swept.clock.advance(60)
    found = await swept.note()
    assert found["hookchain.backlog", "crm"] == 0, "a backlog that is gone does not stay"
    assert found["hookchain.backlog", "removed"] == 0, "nor does that of a destination that is not configured any more"


async def test_sweeps_that_come_each_second_are_reported_once_a_minute() -> None:
    swept = Swept()
    await swept.note()
    swept.clock.advance(1)
    assert await swept.note(crm=DueCount(3, 1.0)) == {}
    swept.clock.advance(EVERY_SECONDS)
    assert (await swept.note())["hookchain.backlog", "crm"] == 3


async def test_a_ledger_that_fails_costs_the_sweep_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    swept = Swept()
    swept.ledger.fault = "the disk is full"
    found = await swept.note(crm=DueCount(3, 1.0))
    assert found["hookchain.backlog", "crm"] == 3
    assert not [name for name, _ in found if name == "hookchain.destinations"]
    assert "states not measured" in capsys.readouterr().out


async def test_once_a_collector_takes_no_metrics_no_state_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    swept = Swept()
    swept.is_taken, swept.ledger.fault = False, "a read would fail"
    assert await swept.note(crm=DueCount(3, 1.0)) == {}
    assert capsys.readouterr().out == ""
