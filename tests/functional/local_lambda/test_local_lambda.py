"""The local Lambda: a function in its environments and behind its Function URL, the poller of a queue, and tables."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from deploy.config.local_ports import HOST
from deploy.dev.aws.environments import AwsTools, InvocationFailed, Pool
from deploy.dev.aws.function import Front, listen
from deploy.dev.aws.local_aws import ministack
from deploy.dev.aws.poller import Poller
from deploy.dev.aws.stack import PREFIX, ensure, place_at, queue_arn, queue_url
from deploy.dev.faults import PATH, FaultPlan, Faults
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.aws.tables import DELIVERIES, DELIVERIES_BY_ENDPOINT, TABLES, create_request
from shared.ledger import Claimed
from shared.ports import BusMessage
from tests.contract.claims import LEASE, MESSAGE, T, delivery
from tests.running.lambda_handlers import make_handler
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture
async def pool(tools: AwsTools) -> AsyncIterator[Pool]:
    pool = Pool(make_handler("obey"), tools, limit=2)
    yield pool
    await pool.close()


@pytest.fixture
async def url(tools: AwsTools) -> AsyncIterator[str]:
    pool, port = Pool(make_handler("echo"), tools, limit=2), free_port()
    async with listen(Front(pool, has_url=True).app(), port):
        yield f"http://{HOST}:{port}"
    await pool.close()


async def process_of(pool: Pool) -> int:
    return int(json.loads(await pool.invoke(b"{}"))["process"])


def is_running(process: int) -> bool:
    """Return False for one that ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def failure_of(pool: Pool, event: bytes) -> str:
    with pytest.raises(InvocationFailed) as failed:
        await pool.invoke(event)
    return failed.value.error


async def test_more_invocations_than_environments_wait_for_one(pool: Pool) -> None:
    assert len(set(await asyncio.gather(*(process_of(pool) for _ in range(6))))) == 2


async def test_an_exception_is_an_error_and_the_environment_lives_on(pool: Pool) -> None:
    before = await process_of(pool)
    assert await failure_of(pool, b'{"raise": "no"}') == "ValueError"
    assert await process_of(pool) == before


async def test_a_handler_whose_time_is_over_is_killed(pool: Pool) -> None:
    before = await process_of(pool)
    assert await failure_of(pool, b'{"sleep": 30}') == "Sandbox.Timedout"
    assert not is_running(before)
    assert await process_of(pool) != before


async def test_a_handler_that_ends_its_process_is_an_error(pool: Pool) -> None:
    assert await failure_of(pool, b'{"exit": 1}') == "Runtime.ExitError"
    assert await process_of(pool)


async def test_a_cancelled_invocation_ends_its_environment(pool: Pool) -> None:
    process = await process_of(pool)
    busy = asyncio.create_task(pool.invoke(b'{"sleep": 1}'))
    await asyncio.sleep(0.1)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert await process_of(pool) != process


async def post(url: str, body: bytes, headers: list[tuple[str, str]]) -> tuple[int, bytes, dict[str, list[str]]]:
    async with aiohttp.ClientSession() as session, session.post(url, data=BytesIO(body), headers=headers) as answer:
        names = {name.lower() for name in answer.headers}
        return answer.status, await answer.read(), {name: answer.headers.getall(name) for name in names}


async def test_a_body_reaches_the_handler_byte_for_byte_and_comes_back_so_up_to_6_mb_in_base64(url: str) -> None:
    body = b'{"name": "J\xf6rg"}\x00\xff\r\n'
    for content_type in ("application/json", "application/octet-stream", "text/plain", ""):
        status, answer, headers = await post(f"{url}/form", body, [("Content-Type", content_type)])
        assert (status, answer) == (202, body), content_type
        assert headers["content-type"] == ["application/x-echo"]
        assert headers["set-cookie"] == ["a=1", "b=2"]
    for size, expected in ((4_700_000, 202), (4_720_000, 413), (20_000_000, 413)):
        status, _, _ = await post(url, bytes(size), [("Content-Type", "application/octet-stream")])
        assert status == expected, size


async def test_a_failed_invocation_is_answered_502(tools: AwsTools) -> None:
    pool, port = Pool(make_handler("nothing"), tools, limit=1), free_port()
    async with listen(Front(pool, has_url=True).app(), port):
        assert (await post(f"http://{HOST}:{port}", b"", []))[:2] == (502, b"Internal Server Error")
    await pool.close()


async def test_the_invoke_api_marks_an_error(tools: AwsTools) -> None:
    pool, port = Pool(make_handler("obey"), tools, limit=1), free_port()
    async with listen(Front(pool, has_url=False).app(), port):
        api = f"http://{HOST}:{port}/2015-03-31/functions/tried/invocations"
        status, answer, headers = await post(api, b'{"raise": "no"}', [])
        assert (status, headers["x-amz-function-error"]) == (200, ["Unhandled"])
        assert json.loads(answer) == {"errorType": "ValueError", "errorMessage": "no"}
        assert (await post(f"http://{HOST}:{port}/", b"", []))[0] == 403
    await pool.close()


async def test_faults_are_set_by_programs_and_not_by_pages(tools: AwsTools) -> None:
    pool, port, plan = Pool(make_handler("obey"), tools, limit=1), free_port(), FaultPlan()
    async with listen(Front(pool, has_url=False, faults=plan).app(), port):
        faults, invoke = (f"http://{HOST}:{port}{path}" for path in (PATH, "/2015-03-31/functions/x/invocations"))
        assert (await post(faults, b'{"seed": 1, "bus": {"nack": 0.5}}', []))[0] == 200
        assert (await post(faults, b'{"bus": {"unplugged": 1}}', []))[0] == 400
        for url in (faults, invoke):
            assert (await post(url, b'{"bus": {"nack": 0}}', [("Origin", "https://example.com")]))[0] == 403
        assert plan.faults.nack == 0.5
    await pool.close()


# The poller of a queue

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


async def test_a_message_that_fails_ends_in_the_dead_letter_queue_and_its_peers_are_done_once(
    place: AwsPlace, tools: AwsTools, tmp_path: Path
) -> None:
    await sent(place, "one", "fail", "two")
    async with polling(place, tools, tmp_path / "taken") as taken:
        await until(lambda: given_up(place), ["fail"])
        assert sorted(taken()) == ["one 1", "two 1"]


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


# Tables

NAME = f"customers:acme:ep_{'0' * 20}"


async def test_a_table_of_an_earlier_version_gets_the_indexes_that_it_lacks(tools: AwsTools, tmp_path: Path) -> None:
    earlier = replace(DELIVERIES, indexes=tuple({*DELIVERIES.indexes} - {DELIVERIES_BY_ENDPOINT}))
    async with ministack(tools, tmp_path) as port:
        place = place_at(f"http://{HOST}:{port}")
        await ensure(place, [create_request(earlier, PREFIX)])
        ledger, documents = DynamoLedger(place, PREFIX), DynamoDocuments(place, PREFIX)
        assert isinstance(await ledger.claim(delivery(1), MESSAGE, T, LEASE), Claimed)
        await ensure(place, [create_request(table, PREFIX) for table in TABLES])
        claim = await ledger.claim(delivery(2, NAME), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert [row.key for row in await ledger.rows(9, destination=NAME)] == [claim.row.key]
        assert len(await ledger.rows(9)) == 2
        assert await documents.write("tenants", "acme", "{}")
        ledger.close()
        documents.close()
        await asyncio.sleep(0)
