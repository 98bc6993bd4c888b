"""Messages on the buses of the local AWS and of the emulated Pub/Sub, through notify's engine and real connections."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.dev.pubsub.topology import bus_topology, topology
from functions.notify.destination import Attempt
from functions.notify.examples import example_delivery
from functions.notify.registry import Destinations, dedupes_repeats, read_destinations
from shared.cloud.aws.client import AwsPlace
from shared.delivery import Delivered, Delivery, Outcome, Unknown
from shared.jsontext import JsonObject, mapping_at, mappings_at, objects_at, to_json, value_at
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.guarded_fetch import GuardedFetch
from shared.ports import DEAD_LETTERS, EVENTS
from shared.settings import LOCAL_PROJECT
from tests.aws.local_aws import KEYS, boto_client
from tests.fakes.destinations import a_context
from tests.fakes.pushes import push_environment
from tests.fakes.secrets import FakeSecrets
from tests.running.emulation import Emulation
from tests.running.ports import free_port
from tests.running.processes import Request, functions_framework, post, started, wait_for

ACCOUNT = "123456789012"
KEY = "d" * 64


async def attempted(settings: JsonObject, delivery: Delivery, number: int = 1, seconds: float = 15.0) -> Outcome:
    """Return what came of an attempt by a destination with these settings, which the role of the function signs."""
    context = replace(
        a_context(),
        secrets=FakeSecrets({"aws-key": KEYS.secret_access_key}),
        fetch=lambda: GuardedFetch(keeps=False),
        cloud=lambda: CloudIdentity(aws_role=lambda: KEYS),
    )
    written: JsonObject = {
        "kind": "bus",
        "settings": settings,
        "retry_seconds": [5],
        "timeout_seconds": 15,
        "on_unknown": "resend",
    }
    destinations = Destinations(read_destinations({"destinations": {"stream": written}}), context)
    connected = destinations.connected(destinations.configured["stream"])
    assert not dedupes_repeats(connected)
    return await connected.attempt(delivery, Attempt(KEY, number, 0, 1_790_000_000.0, seconds))


def at(aws: AwsPlace) -> JsonObject:
    return {"api_url": aws.endpoint, "allow_private": True}


def queue_of(aws: AwsPlace, suffix: str = "") -> tuple[str, str]:
    """Return the URL and the ARN of a new queue."""
    attributes = {"FifoQueue": "true"} if suffix else {}
    name = f"q-{uuid.uuid4().hex[:10]}{suffix}"
    url: str = boto_client(aws, "sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{aws.region}:{ACCOUNT}:{name}"


def received(aws: AwsPlace, url: str) -> list[JsonObject]:
    answer = boto_client(aws, "sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    messages: list[JsonObject] = answer.get("Messages", [])
    return messages


async def test_a_queue_gets_the_data_and_what_identifies_the_delivery(aws: AwsPlace) -> None:
    url, arn = queue_of(aws)

    assert isinstance(
        await attempted({"sqs": arn, **at(aws)}, example_delivery({"total": 12, "text": "é\ud800"})), Delivered
    )

    [message] = received(aws, url)
    assert json.loads(str(message["Body"])) == {"total": 12, "text": "é?"}
    attributes = mappings_at(message, "MessageAttributes")
    assert attributes["hookchain-delivery-id"]["StringValue"] == KEY
    assert attributes["ce-type"]["StringValue"] == "order.created"


async def test_a_fifo_queue_drops_the_repeat_of_an_attempt_whose_answer_was_lost(aws: AwsPlace) -> None:
    url, arn = queue_of(aws, ".fifo")
    settings: JsonObject = {"sqs": arn, "group": "{{ data.customer }}", **at(aws)}

    for number in (1, 2):
        assert isinstance(await attempted(settings, example_delivery({"customer": "c 7"}), number), Delivered)

    assert len(received(aws, url)) == 1


async def test_a_topic_hands_the_message_with_its_attributes_to_a_queue(aws: AwsPlace) -> None:
    url, queue_arn = queue_of(aws)
    sns = boto_client(aws, "sns")
    arn = sns.create_topic(Name=f"t-{uuid.uuid4().hex[:10]}")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    settings: JsonObject = {"sns": arn, "attributes": {"team": "{{ data.team }}"}, **at(aws)}

    outcome = await attempted(settings, example_delivery({"team": "a & b"}))

    assert isinstance(outcome, Delivered), outcome
    [message] = received(aws, url)
    attributes = mappings_at(message, "MessageAttributes")
    assert (attributes["team"]["StringValue"], len(attributes)) == ("a & b", 9)


async def test_an_event_bus_gets_an_event_that_its_rules_match(aws: AwsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.events.utils import EventTemplateParser

    # A target without a transformer gets the event as it is; moto's code for this needs a further package.
    monkeypatch.setattr(EventTemplateParser, "parse", staticmethod(lambda event, **_: event))
    url, queue_arn = queue_of(aws)
    events, name = boto_client(aws, "events"), f"b-{uuid.uuid4().hex[:10]}"
    arn = events.create_event_bus(Name=name)["EventBusArn"]
    pattern = json.dumps({"source": ["com.example.shop"], "detail-type": ["order.created"]})
    events.put_rule(Name=name, EventBusName=name, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "q", "Arn": queue_arn}])
    settings: JsonObject = {
        "eventbridge": arn,
        "source": "com.example.{{ source }}",
        "access_key_id": KEYS.access_key_id.ljust(16, "X"),
        "secret": "aws-key",
        **at(aws),
    }

    assert isinstance(await attempted(settings, example_delivery({"total": 12})), Delivered)

    [message] = received(aws, url)
    event = json.loads(str(message["Body"]))
    assert event["detail"] == {"total": 12}
    assert f"urn:hookchain:delivery:{KEY}" in event["resources"]


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Take everything and answer nothing."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "bus",
    [
        {"pubsub": "projects/example-project/topics/orders"},
        {"sqs": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:orders"},
    ],
)
async def test_an_answer_that_is_lost_leaves_it_open_whether_the_message_is_there(bus: JsonObject) -> None:
    async with silent_server() as url:
        outcome = await attempted({**bus, "api_url": url, "allow_private": True}, example_delivery({}))
    assert isinstance(outcome, Unknown)


CONFIG: Final = """
sources:
  orders: {bus: {pubsub: orders}, schema: {type: object}}
  uploads: {bus: {bucket: my-files}}
"""
PLACE: Final = f"/v1/projects/{LOCAL_PROJECT}"


def receive_slice() -> JsonObject:
    return compile_config(parse_config(CONFIG, "test.yaml", Path()))["receive"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[tuple[Emulation, int]]:
    """Return the emulated Pub/Sub and the port of receive, to which it pushes."""
    port, slice_file = free_port(), tmp_path / "receive.json"
    slice_file.write_text(to_json(receive_slice()))
    with Emulation(tmp_path / "state").running() as emulation:
        brought = bus_topology(LOCAL_PROJECT, port, receive_slice())
        emulation.lay(topology(LOCAL_PROJECT, "", 1, 1) + brought)
        for topic in (EVENTS, DEAD_LETTERS):
            emulation.ask("PUT", f"{PLACE}/subscriptions/test-{topic}", {"topic": f"{PLACE[4:]}/topics/{topic}"})
        environ = {
            "HOOKCHAIN_SLICE": str(slice_file),
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{emulation.port}",
            **push_environment(port),
        }
        command = functions_framework("functions/receive", "receive", port)
        with started(command, environ, port, Request("/nowhere", b"", {}), ready="404"):
            yield emulation, port


def publish(emulation: Emulation, topic: str, data: bytes, **attributes: str) -> None:
    message: JsonObject = {"data": base64.b64encode(data).decode(), "attributes": {**attributes}}
    status, _ = emulation.ask("POST", f"{PLACE}/topics/{topic}:publish", {"messages": [message]})
    assert status == 200


def pulled(emulation: Emulation, topic: str) -> list[JsonObject]:
    """Return the documents on the topic since the last time."""
    name = f"{PLACE}/subscriptions/test-{topic}"
    _, answer = emulation.ask("POST", f"{name}:pull", {"maxMessages": 100, "returnImmediately": True})
    documents: list[JsonObject] = []
    for each in objects_at(answer, "receivedMessages"):
        documents.append(json.loads(base64.b64decode(str(value_at(each, "message", "data")))))
        emulation.ask("POST", f"{name}:acknowledge", {"ackIds": [each["ackId"]]})
    return documents


def test_what_others_publish_becomes_events_and_nobody_can_post_them(bus: tuple[Emulation, int]) -> None:
    emulation, port = bus
    forged = {"message": {"data": base64.b64encode(b'{"forged": true}').decode(), "messageId": "1"}}
    headers = {"Content-Type": "application/json"}
    assert post(port, Request("/orders", json.dumps(forged).encode(), headers)) == 401

    publish(emulation, "orders", b'{"n": 1}', **{"ce-type": "order.created"})
    publish(emulation, "orders", b"[1]")
    publish(
        emulation, "bus-uploads", b'{"size": "3"}', eventType="OBJECT_DELETE", bucketId="my-files", objectId="a.csv"
    )
    url: JsonObject = {"api_url": emulation.url, "allow_private": True}
    settings: JsonObject = {"pubsub": f"projects/{LOCAL_PROJECT}/topics/orders", **url}
    assert isinstance(asyncio.run(attempted(settings, example_delivery({"n": 2}))), Delivered)

    events: list[JsonObject] = []
    letters: list[JsonObject] = []

    def all_are_there() -> bool:
        events.extend(pulled(emulation, EVENTS))
        letters.extend(pulled(emulation, DEAD_LETTERS))
        return len(events) >= 3 and len(letters) >= 1

    wait_for(all_are_there)
    assert len(events) == 3
    assert {(str(each["type"]), json.dumps(each["data"])[:8]) for each in events} == {
        ("order.created", '{"n": 1}'),
        ("order.created", '{"n": 2}'),
        ("delete", '{"event"'),
    }
    assert [each["hops"] for each in events if each["data"] == {"n": 2}] == [1]
    [letter] = letters
    data = mapping_at(letter, "data")
    assert (data["code"], data["message"]) == ("message_rejected", "[1]")
