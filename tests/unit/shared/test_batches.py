"""A batch of messages on Lambda: what is acknowledged, what comes again, and when."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from shared.cloud.aws import batches
from shared.cloud.aws.invocations import STOP_SECONDS, run
from shared.jsontext import Json, JsonObject
from shared.ports import BusMessage
from shared.push import Push
from tests.aws.invoked import Context, FakeQueues, failures, record

HOUR: Final = 3_600
Take = Callable[[Push], Awaitable[bool]]


def messages(*names: str, receives: int = 1) -> JsonObject:
    """Return an event whose messages have their names as ids and as data."""
    return {"Records": [record("events", BusMessage(name.encode()), receives, name) for name in names]}


def answered(event: JsonObject, take: Take, queues: FakeQueues | None = None, seconds: float = 30.0) -> list[Json]:
    """Return the ids of the messages that are to come again."""
    batch, queues = batches.batch_of(event), queues or FakeQueues()
    answer = run(lambda deadline: batches.take_batch("transform", batch, take, queues, deadline), Context(seconds))
    return failures(answer)


async def acknowledge(_: Push) -> bool:
    return True


def test_what_is_not_done_comes_again_and_holds_no_other_back() -> None:
    async def take(push: Push) -> bool:
        return push.data != b"b"

    queues = FakeQueues()
    assert answered(messages("a", "b", "c"), take, queues) == ["b"]
    assert queues.postponed == {"b": batches.MIN_WAIT_SECONDS}


@pytest.mark.parametrize("fault", [ValueError("hunter2"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_a_crash_inside_one_message_leaves_the_others_acknowledged(
    fault: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    async def take(push: Push) -> bool:
        if push.data == b"b":
            raise fault
        await asyncio.sleep(0)
        return True

    assert answered(messages("a", "b", "c"), take) == ["b"]
    written = capsys.readouterr().out
    (line,) = [json.loads(each) for each in written.splitlines()]
    assert (line["outcome"], line["code"]) == ("unavailable", "internal_error")
    assert type(fault).__name__ in line["detail"]
    assert "hunter2" not in written


def test_only_what_is_not_done_by_the_deadline_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    async def take(push: Push) -> bool:
        if push.data != b"a":
            await asyncio.Event().wait()
        return True

    queues = FakeQueues()
    assert answered(messages("a", "b", "c"), take, queues, STOP_SECONDS + 0.2) == ["b", "c"]
    assert queues.postponed.keys() == {"b", "c"}
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["code"], line["count"]) == ("invocation_timeout", 2)


def test_the_wait_grows_from_ten_seconds_to_ten_minutes() -> None:
    waits = [batches.wait_seconds(receives) for receives in range(1, batches.MAX_RECEIVES + 1)]
    assert waits[:4] == [10, 20, 40, 80]
    assert waits == sorted(waits)
    assert (min(waits), max(waits)) == (batches.MIN_WAIT_SECONDS, batches.MAX_WAIT_SECONDS)


def test_a_message_that_ends_the_process_does_not_keep_its_batch_from_being_done() -> None:
    """Messages that come again and again together. One of them ends the process each time before Lambda is answered."""
    left, taken = dict.fromkeys("abcdefgh", 0), list[str]()

    class Killed(Exception):
        pass

    async def take(push: Push) -> bool:
        taken.append(push.data.decode())
        if push.data == b"c":
            queues.is_killed = True
            await asyncio.Event().wait()
        return True

    class KilledQueues(FakeQueues):
        is_killed = False

        async def postpone(self, arn: str, messages: object) -> None:
            raise Killed  # the process has ended before

    for receives in range(1, 60):
        if left.keys() == {"c"}:
            break
        queues = KilledQueues()
        event: JsonObject = {"Records": [record("events", BusMessage(name.encode()), receives, name) for name in left]}
        with pytest.raises(Killed):
            answered(event, take, queues, STOP_SECONDS + 0.01)
        for name in queues.deleted:
            del left[name]
    assert left.keys() == {"c"}


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"Records": "x"}, {"sweep": 1}])
def test_an_event_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="Records: is missing"):
        batches.batch_of(event)


def test_an_outage_of_our_own_parts_is_survived_for_about_sixteen_hours() -> None:
    """A message of a queue whose every try fails, on a clock that a test moves, until SQS gives up on it."""

    async def take(_: Push) -> bool:
        return False

    now, receives, queues = 0, 0, FakeQueues()
    while receives < batches.MAX_RECEIVES:
        receives += 1
        assert answered(messages("a", receives=receives), take, queues) == ["a"]
        now += queues.postponed["a"]
    assert 15 * HOUR < now < 17 * HOUR
