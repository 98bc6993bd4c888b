"""The poller that hands a queue's messages to a function on the local Lambda."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.config.running_dev import HOST
from deploy.dev.aws.environments import AwsTools, Pool
from deploy.dev.aws.local_aws import ministack
from deploy.dev.aws.poller import Poller
from deploy.dev.aws.stack import ensure, place_at, queue_arn, queue_url
from deploy.dev.faults import FaultPlan, Faults
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.sqs import SqsBus
from shared.ports import BusMessage
from tests.lambda_handlers import make_handler
from tests.processes import PATIENCE_SECONDS

RECEIVES = 3


@pytest.fixture
async def place(tools: AwsTools, tmp_path: Path) -> AsyncIterator[AwsPlace]:
    async with ministack(tools, tmp_path) as port:
        place = place_at(f"http://{HOST}:{port}")
        await ensure(place, (), visibility_seconds=1, max_receives=RECEIVES)
        yield place


async def sent(place: AwsPlace, *texts: str) -> None:
    bus = SqsBus(place, {"events": queue_url(str(place.endpoint), "events")})
    await bus.publish("events", [BusMessage(text.encode(), {"ce-id": text}) for text in texts])
    bus.close()


async def given_up(place: AwsPlace) -> list[str]:
    """Return the texts of the messages that SQS gave up on."""
    texts: list[str] = []

    async def note(event: bytes) -> bytes:
        texts.extend(record["body"] for record in json.loads(event)["Records"])
        return b"{}"

    queue = "events-undelivered"
    await Poller("test", note, place, queue_url(str(place.endpoint), queue), queue_arn(queue)).poll(wait_seconds=0)
    return texts


@asynccontextmanager
async def polling(
    place: AwsPlace, tools: AwsTools, file: Path, **faults: float
) -> AsyncIterator[Callable[[], list[str]]]:
    """Poll while the block runs; yield what returns the messages done, each with how often it was received."""
    file.touch()
    pool = Pool(make_handler("take", TAKEN=str(file)), tools, limit=1)
    url, plan = queue_url(str(place.endpoint), "events"), FaultPlan(Faults(**faults), random.Random(1))
    poller = Poller("test", pool.invoke, place, url, queue_arn("events"), plan)
    running = asyncio.create_task(poller.run())
    try:
        yield lambda: file.read_text(encoding="utf-8").splitlines()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await pool.close()


def as_awaited(taken: Callable[[], list[str]]) -> Callable[[], Awaitable[list[str]]]:
    async def look() -> list[str]:
        return taken()

    return look


async def until(look: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await look() != wanted:
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_message_that_fails_ends_in_the_dead_letter_queue_and_its_peers_are_done_once(
    place: AwsPlace, tools: AwsTools, tmp_path: Path
) -> None:
    await sent(place, "one", "fail", "two")
    async with polling(place, tools, tmp_path / "taken") as taken:
        await until(lambda: given_up(place), ["fail"])
        assert sorted(taken()) == ["one 1", "two 1"]


@pytest.mark.slow
async def test_a_message_of_a_handler_killed_by_its_timeout_is_delivered_again(
    place: AwsPlace, tools: AwsTools, tmp_path: Path
) -> None:
    await sent(place, "hang")
    async with polling(place, tools, tmp_path / "taken") as taken:
        await until(as_awaited(taken), ["hang 2"])


async def test_a_duplicate_is_handed_over_twice(place: AwsPlace, tools: AwsTools, tmp_path: Path) -> None:
    await sent(place, "one")
    async with polling(place, tools, tmp_path / "taken", duplicate=1.0) as taken:
        await until(as_awaited(taken), ["one 1", "one 1"])
