"""What every implementation of the Bus port, and its fake, must do."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.aws.sqs_messages import message_of
from shared.cloud.gcp.pubsub import DELAY, PubSubBus
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import Temporary
from shared.ports import DEAD_LETTERS, EVENTS, Bus, BusMessage
from tests.aws.local_aws import boto_client
from tests.aws.sqs_stand_in import lambda_record
from tests.fakes.bus import FakeBus
from tests.gcp.serving import served


@dataclass(frozen=True, slots=True)
class Subject:
    """`on`: what the bus has of a topic. `fail`: it takes no more from now on. `large`: more than a request takes.

    `delays`: the delays of the messages of a topic, as the bus has them.
    """

    bus: Bus
    on: Callable[[str], list[BusMessage]]
    fail: Callable[[], None]
    delays: Callable[[str], list[float]]
    large: int = 1_200


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

    def delays(self, topic: str) -> list[float]:
        return [float(message.attributes.get(DELAY, 0)) for message in self.on(topic)]

    async def _publish(self, request: web.Request) -> web.Response:
        if self.fails:
            return web.Response(status=500)
        for message in json.loads(await request.read())["messages"]:
            sent = BusMessage(base64.b64decode(message["data"]), message["attributes"])
            self.kept.append((request.match_info["topic"], sent))
        return web.json_response({"messageIds": []})


class Queues:
    """Queues of the local AWS, as Lambda reads them."""

    def __init__(self, place: AwsPlace) -> None:
        self._sqs = boto_client(place, "sqs")
        prefix = f"bus-{uuid.uuid4().hex[:8]}-"
        self.urls = {
            topic: self._sqs.create_queue(QueueName=prefix + topic)["QueueUrl"] for topic in (EVENTS, DEAD_LETTERS)
        }

    def on(self, topic: str) -> list[BusMessage]:
        found: list[BusMessage] = []
        asked = {"QueueUrl": self.urls[topic], "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        while messages := self._sqs.receive_message(**asked).get("Messages"):
            pushes = [message_of(lambda_record(message)) for message in messages]
            found += [BusMessage(push.data, push.attributes) for push in pushes]
        return found

    def delays(self, topic: str) -> list[float]:
        """What waits is delayed: moto tells how many, not how long."""
        asked = {"QueueUrl": self.urls[topic], "AttributeNames": ["ApproximateNumberOfMessagesDelayed"]}
        count = int(self._sqs.get_queue_attributes(**asked)["Attributes"]["ApproximateNumberOfMessagesDelayed"])
        return [7.0] * count + [0.0] * len(self.on(topic))

    def remove(self) -> None:
        for url in self.urls.values():
            self._sqs.delete_queue(QueueUrl=url)


async def sqs_in_local_aws(place: AwsPlace) -> AsyncIterator[Subject]:
    queues = Queues(place)
    bus = SqsBus(place, queues.urls)
    yield Subject(bus, queues.on, queues.remove, queues.delays, large=25)
    bus.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture(params=["fake", "pubsub", "emulated_pubsub", "sqs"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = FakeBus(max_delay_seconds=900)
        yield Subject(
            fake,
            fake.on,
            lambda: setattr(fake, "fault", "the bus is down"),
            lambda topic: [message.delay_seconds for message in fake.on(topic)],
        )
        return
    if request.param == "sqs":
        async for made in sqs_in_local_aws(request.getfixturevalue("aws")):
            yield made
        return
    topics = Topics()
    with served(topics.app()) as host:
        max_delay_seconds = 900 if request.param == "emulated_pubsub" else 0
        bus = PubSubBus(f"http://{host}", "a-project", "a-bundle-", no_authorization, max_delay_seconds)
        yield Subject(bus, topics.on, topics.fail, topics.delays)
        bus.close()
        await asyncio.sleep(0)  # in which its connections are gone


async def test_what_was_confirmed_is_on_its_topic_and_on_no_other(subject: Subject) -> None:
    message = BusMessage(b"\x00\xff", {"ce-id": "e1", "name": 'ü "quoted"'})
    await subject.bus.publish(EVENTS, [message])
    assert subject.on(EVENTS) == [message]
    assert subject.on(DEAD_LETTERS) == []


async def test_a_batch_is_confirmed_whole(subject: Subject) -> None:
    messages = [BusMessage(str(number).encode()) for number in range(subject.large)]
    await subject.bus.publish(EVENTS, messages)
    assert sorted(subject.on(EVENTS), key=lambda each: int(each.data)) == messages


async def test_nothing_to_publish_is_confirmed(subject: Subject) -> None:
    await subject.bus.publish(EVENTS, [])
    assert subject.on(EVENTS) == []


async def test_many_may_publish_at_once(subject: Subject) -> None:
    await asyncio.gather(*(subject.bus.publish(EVENTS, [BusMessage(str(n).encode())]) for n in range(40)))
    assert {message.data for message in subject.on(EVENTS)} == {str(number).encode() for number in range(40)}


async def test_a_message_is_delayed_where_the_bus_has_delays(subject: Subject) -> None:
    delayed = BusMessage(b"later", {"ce-id": "e1"}, delay_seconds=6.2)
    await subject.bus.publish(EVENTS, [BusMessage(b"now"), delayed])

    found = sorted(subject.delays(EVENTS))
    assert found[0] == 0
    assert found[1] >= 6.2 if subject.bus.max_delay_seconds else found[1] == 0


async def test_a_bus_that_does_not_confirm_raises_temporary(subject: Subject) -> None:
    subject.fail()
    with pytest.raises(Temporary) as error:
        await subject.bus.publish(EVENTS, [BusMessage(b"x")])
    assert error.value.code == "bus_unavailable"
