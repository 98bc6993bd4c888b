"""What every implementation of the Bus port, and its fake, must do."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web

from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import Temporary
from shared.ports import DEAD_LETTERS, EVENTS, Bus, BusMessage
from tests.fakes.bus import FakeBus
from tests.gcp.serving import served


@dataclass(frozen=True, slots=True)
class Subject:
    """`on`: what the bus has of a topic. `fail`: it takes no more from now on."""

    bus: Bus
    on: Callable[[str], list[BusMessage]]
    fail: Callable[[], None]


class Topics:
    """Pub/Sub's answer to a publish, and what it was given."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, BusMessage]] = []
        self.fails = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/projects/a-project/topics/a-bundle-{topic}:publish", self._publish)
        return app

    def on(self, topic: str) -> list[BusMessage]:
        return [message for name, message in self.kept if name == topic]

    def fail(self) -> None:
        self.fails = True

    async def _publish(self, request: web.Request) -> web.Response:
        if self.fails:
            return web.Response(status=500)
        for message in json.loads(await request.read())["messages"]:
            sent = BusMessage(base64.b64decode(message["data"]), message["attributes"])
            self.kept.append((request.match_info["topic"], sent))
        return web.json_response({"messageIds": []})


@pytest.fixture(params=["fake", "pubsub"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = FakeBus()
        yield Subject(fake, fake.on, lambda: setattr(fake, "fault", "the bus is down"))
        return
    topics = Topics()
    with served(topics.app()) as host:
        bus = PubSubBus(f"http://{host}", "a-project", "a-bundle-", no_authorization)
        yield Subject(bus, topics.on, topics.fail)
        bus.close()
        await asyncio.sleep(0)  # in which its connections are gone


async def test_what_was_confirmed_is_on_its_topic_and_on_no_other(subject: Subject) -> None:
    message = BusMessage(b"\x00\xff", {"ce-id": "e1", "name": 'ü "quoted"'})
    await subject.bus.publish(EVENTS, [message])
    assert subject.on(EVENTS) == [message]
    assert subject.on(DEAD_LETTERS) == []


async def test_a_batch_is_confirmed_whole(subject: Subject) -> None:
    messages = [BusMessage(str(number).encode()) for number in range(1_200)]
    await subject.bus.publish(EVENTS, messages)
    assert sorted(subject.on(EVENTS), key=lambda each: int(each.data)) == messages


async def test_nothing_to_publish_is_confirmed(subject: Subject) -> None:
    await subject.bus.publish(EVENTS, [])
    assert subject.on(EVENTS) == []


async def test_many_may_publish_at_once(subject: Subject) -> None:
    await asyncio.gather(*(subject.bus.publish(EVENTS, [BusMessage(str(n).encode())]) for n in range(200)))
    assert {message.data for message in subject.on(EVENTS)} == {str(number).encode() for number in range(200)}


async def test_a_bus_that_does_not_confirm_raises_temporary(subject: Subject) -> None:
    subject.fail()
    with pytest.raises(Temporary) as error:
        await subject.bus.publish(EVENTS, [BusMessage(b"x")])
    assert error.value.code == "bus_unavailable"
