"""Push delivery by the emulated Pub/Sub, seen from the endpoint."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from deploy.dev.pubsub.resources import PushTarget
from deploy.dev.pubsub.subscriber import PushClient
from shared.cloud.gcp.pubsub import DELAY
from shared.jsontext import Json, JsonObject, objects_at
from tests.running.emulation import Emulation, Endpoint, attributes_of, message_of

Speak: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_NUMBERS = itertools.count(1)
QUICK: Json = {"minimumBackoff": "0.1s", "maximumBackoff": "0.4s"}


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    with Emulation(tmp_path_factory.mktemp("bus")).running() as running:
        yield running


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint().open() as opened:
        yield opened


class Bus:
    """A project of its own in the emulation."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation
        self.project = f"projects/p{next(_NUMBERS)}"
        self.topic = f"{self.project}/topics/events"
        self.subscription = f"{self.project}/subscriptions/pushed"

    async def ask(self, method: str, path: str, body: Json = None) -> Json:
        status, answer = await asyncio.to_thread(self._emulation.ask, method, f"/v1/{path}", body)
        assert status == 200, answer
        return answer

    async def push_to(self, url: str, **settings: Json) -> None:
        await self.ask("PUT", self.topic, {})
        push: Json = {"topic": self.topic, "pushConfig": {"pushEndpoint": url}, **settings}
        await self.ask("PUT", self.subscription, push)

    async def publish(self, *names: str) -> None:
        messages: list[Json] = [{"data": "aGVsbG8=", "attributes": {"name": name}} for name in names]
        await self.ask("POST", f"{self.topic}:publish", {"messages": messages})


@pytest.fixture
def bus(emulation: Emulation) -> Bus:
    return Bus(emulation)


async def test_a_message_of_hookchains_own_that_nobody_would_get_is_rejected(
    emulation: Emulation, bus: Bus, endpoint: Endpoint
) -> None:
    await bus.ask("PUT", bus.topic, {})
    message: Json = {"messages": [{"data": "aGVsbG8=", "attributes": {"name": "one"}}]}
    status, _ = await asyncio.to_thread(emulation.ask, "POST", f"/v1/{bus.topic}:publish", message)
    assert status == 503
    push: Json = {"topic": bus.topic, "pushConfig": {"pushEndpoint": endpoint.url}}
    await bus.ask("PUT", bus.subscription, push)
    await bus.publish("two")
    assert names_in(await endpoint.wait_for(1)) == ["two"]


def names_in(pushes: list[JsonObject]) -> list[Json]:
    return [attributes_of(push)["name"] for push in pushes]


async def test_a_message_that_names_a_delay_is_delivered_after_later_ones(bus: Bus, endpoint: Endpoint) -> None:
    await bus.push_to(endpoint.url)
    late: Json = {"data": "aGVsbG8=", "attributes": {"name": "late", DELAY: "1.0"}}
    soon: Json = {"data": "aGVsbG8=", "attributes": {"name": "soon"}}
    await bus.ask("POST", f"{bus.topic}:publish", {"messages": [late, soon]})

    assert names_in(await endpoint.wait_for(2)) == ["soon", "late"]


async def test_only_the_answers_that_acknowledge_do(bus: Bus, endpoint: Endpoint) -> None:
    refusing = ("301", "400", "404", "429", "500", "503")
    tries: Counter[Json] = Counter()

    def answer(push: JsonObject) -> int:
        name = str(attributes_of(push)["name"])
        tries[name] += 1
        return int(name) if tries[name] == 1 else 204

    endpoint.answer = answer
    await bus.push_to(endpoint.url, retryPolicy=QUICK)
    await bus.publish("200", "201", "202", "204", *refusing)
    await endpoint.wait_for(4 + 2 * len(refusing))
    await asyncio.sleep(0.3)
    assert tries == {**dict.fromkeys(("200", "201", "202", "204"), 1), **dict.fromkeys(refusing, 2)}


async def test_after_its_last_attempt_a_message_is_a_dead_letter_and_its_peers_never_notice(
    bus: Bus, endpoint: Endpoint
) -> None:
    dead = f"{bus.project}/topics/dead"
    await bus.ask("PUT", dead, {})
    reader = f"{bus.project}/subscriptions/reader"
    await bus.ask("PUT", reader, {"topic": dead})
    endpoint.answer = lambda push: 500 if attributes_of(push)["name"] == "poison" else 204
    policy: Json = {"deadLetterTopic": dead, "maxDeliveryAttempts": 5}
    await bus.push_to(endpoint.url, retryPolicy={"minimumBackoff": "0.02s"}, deadLetterPolicy=policy)
    await bus.publish("poison", *(f"good {n}" for n in range(20)))
    await endpoint.wait_for(25)
    attempts = [push["deliveryAttempt"] for push in endpoint.pushes if attributes_of(push)["name"] == "poison"]
    assert attempts == [1, 2, 3, 4, 5]
    answer = await bus.ask("POST", f"{reader}:pull", {"maxMessages": 10})
    received = objects_at(answer, "receivedMessages")[0]
    attributes = attributes_of(received)
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "pushed"
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] == bus.project.removeprefix("projects/")
    assert (attributes["name"], message_of(received)["data"]) == ("poison", "aGVsbG8=")
    assert Counter(names_in(endpoint.pushes)) == {"poison": 5, **{f"good {n}": 1 for n in range(20)}}


async def test_messages_for_an_endpoint_that_was_down_are_pushed_when_it_is_back(
    bus: Bus, endpoint: Endpoint, free_port: int
) -> None:
    await bus.push_to(f"http://127.0.0.1:{free_port}/", retryPolicy=QUICK)
    wanted = {f"m{n}" for n in range(100)}
    await bus.publish(*wanted)
    await asyncio.sleep(0.3)
    async with Endpoint().open(free_port) as late:
        await late.wait_until(lambda: {*names_in(late.pushes)} == wanted)


@contextlib.asynccontextmanager
async def speaking(speak: Speak) -> AsyncIterator[str]:
    """The URL of a server that says what `speak` writes, and closes."""

    served: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(ended := asyncio.Event())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await speak(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for each in served:
            await each.wait()


def target(url: str) -> PushTarget:
    return PushTarget.model_validate({"pushEndpoint": url})


async def test_an_endpoint_that_does_not_answer_in_time_has_not_acknowledged() -> None:
    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    client = PushClient()
    async with speaking(say_nothing) as url:
        assert await client.push(target(url), b"{}", timeout_seconds=0.05) is False


@pytest.mark.parametrize(
    ("answer", "acknowledged"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 102 Processing\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\n\r\nit ends where the connection does", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", False),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"this is not HTTP\r\n\r\n", False),
        (b"", False),
    ],
)
async def test_an_answer_counts_when_it_is_whole(answer: bytes, acknowledged: bool) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(answer)

    client = PushClient()
    async with speaking(speak) as url:
        assert await client.push(target(url), b"{}", timeout_seconds=5) is acknowledged
        client.close()


async def test_a_kept_connection_that_closes_as_it_is_used_costs_no_attempt() -> None:
    requests = 0

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n{}")
        writer.transport.abort()

    client = PushClient()
    async with speaking(answer_the_first) as url:
        assert [await client.push(target(url), b"{}", 5), await client.push(target(url), b"{}", 5)] == [
            True,
            True,
        ]
        client.close()
    assert requests == 2


PROJECT = "projects/p1"


async def test_gcloud_aio_finds_the_emulation_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pubsub = pytest.importorskip("gcloud.aio.pubsub", reason="pip install gcloud-aio-pubsub (Python 3.11.3 or newer)")
    topic, name = f"{PROJECT}/topics/events", f"{PROJECT}/subscriptions/reader"
    with Emulation(tmp_path).running() as emulation:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{emulation.port}")
        async with pubsub.PublisherClient() as publisher, pubsub.SubscriberClient() as subscriber:
            await publisher.create_topic(topic)
            await subscriber.create_subscription(name, topic)
            answer = await publisher.publish(topic, [pubsub.PubsubMessage(b"hello", kind="one")])
            (received,) = await subscriber.pull(name, max_messages=10)
            assert (received.data, received.attributes) == (b"hello", {"kind": "one"})
            assert answer["messageIds"] == [received.message_id]
            await subscriber.modify_ack_deadline(name, [received.ack_id], 0)  # so that it comes again
            (again,) = await subscriber.pull(name, max_messages=10)
            assert again.message_id == received.message_id
            await subscriber.acknowledge(name, [again.ack_id])
            patch = {"subscription": {"ackDeadlineSeconds": 30}, "updateMask": "ackDeadlineSeconds"}
            assert (await subscriber.patch_subscription(name, patch))["ackDeadlineSeconds"] == 30
            assert [each["name"] for each in (await subscriber.list_subscriptions(PROJECT))["subscriptions"]] == [name]
            assert await publisher.list_topics(PROJECT) == {"topics": [{"name": topic}]}
            await subscriber.delete_subscription(name)
