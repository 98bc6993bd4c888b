"""Third-party clients against the emulated Pub/Sub, unchanged; and each of its answers against Google's description."""

import base64
import itertools
import json
from collections.abc import Iterator

import pytest

from shared.jsontext import Json
from tests.emulation import Emulation
from tests.google_client import Answer, GoogleClient

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    with Emulation(tmp_path_factory.mktemp("bus")).running() as running:
        yield running


@pytest.fixture
def google(emulation: Emulation) -> Iterator[GoogleClient]:
    client = GoogleClient(emulation.url)
    yield client
    client.close()


@pytest.fixture
def project() -> str:
    """Each test has one of its own."""
    return f"projects/p{next(_NUMBERS)}"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def publish(google: GoogleClient, topic: str, *texts: str) -> list[str]:
    messages: list[Json] = [{"data": encoded(text.encode()), "attributes": {"kind": text}} for text in texts]
    return google.ask("topics.publish", topic=topic, body={"messages": messages})["messageIds"]


def pull(google: GoogleClient, subscription: str) -> Answer:
    body: Json = {"maxMessages": 10, "returnImmediately": True}
    return google.ask("subscriptions.pull", subscription=subscription, body=body)


def texts_in(answer: Answer) -> list[str]:
    return [base64.b64decode(each["message"]["data"]).decode() for each in answer.get("receivedMessages", [])]


def ack_ids(answer: Answer) -> list[Json]:
    return [each["ackId"] for each in answer.get("receivedMessages", [])]


def made(google: GoogleClient, project: str, **settings: Json) -> tuple[str, str]:
    """A topic and a subscription to it."""
    topic, subscription = f"{project}/topics/events", f"{project}/subscriptions/reader"
    google.ask("topics.create", name=topic, body={})
    google.ask("subscriptions.create", name=subscription, body={"topic": topic, **settings})
    return topic, subscription


def error_of(google: GoogleClient, method: str, **parameters: Json) -> tuple[int, str]:
    """The HTTP status and Google's name of it."""
    errors = pytest.importorskip("googleapiclient.errors")
    with pytest.raises(errors.HttpError) as caught:
        google.ask(method, **parameters)
    error = json.loads(caught.value.content)["error"]
    assert error.keys() == {"code", "message", "status"}
    assert error["code"] == caught.value.resp.status
    return error["code"], error["status"]


def test_a_subscription_is_made_shown_changed_and_removed(google: GoogleClient, project: str) -> None:
    topic, name = made(google, project, ackDeadlineSeconds=60, labels={"a": "b"}, retryPolicy={"minimumBackoff": "1s"})
    patch: Json = {"subscription": {"ackDeadlineSeconds": 20}, "updateMask": "ackDeadlineSeconds,labels"}
    google.ask("subscriptions.patch", name=name, body=patch)
    shown = google.ask("subscriptions.get", subscription=name)
    assert (shown["topic"], shown["ackDeadlineSeconds"]) == (topic, 20)
    assert "labels" not in shown
    assert shown["retryPolicy"] == {"minimumBackoff": "1s"}
    assert google.ask("subscriptions.list", project=project) == {"subscriptions": [shown]}
    google.ask("subscriptions.delete", subscription=name)
    assert error_of(google, "subscriptions.get", subscription=name) == (404, "NOT_FOUND")


def test_a_message_is_pulled_until_it_is_acknowledged(google: GoogleClient, project: str) -> None:
    topic, subscription = made(google, project)
    (message_id,) = publish(google, topic, "one")
    pulled = pull(google, subscription)
    (received,) = pulled["receivedMessages"]
    assert received["message"]["messageId"] == message_id
    assert received["message"]["attributes"] == {"kind": "one"}
    assert "deliveryAttempt" not in received
    assert pull(google, subscription) == {}
    nack: Json = {"ackIds": ack_ids(pulled), "ackDeadlineSeconds": 0}
    google.ask("subscriptions.modifyAckDeadline", subscription=subscription, body=nack)
    # A pull that may wait does so until the message comes again.
    again = google.ask("subscriptions.pull", subscription=subscription, body={"maxMessages": 1})
    assert texts_in(again) == ["one"]
    extension: Json = {"ackIds": ack_ids(again), "ackDeadlineSeconds": 600}
    google.ask("subscriptions.modifyAckDeadline", subscription=subscription, body=extension)
    google.ask("subscriptions.acknowledge", subscription=subscription, body={"ackIds": ack_ids(again)})
    google.ask("subscriptions.acknowledge", subscription=subscription, body={"ackIds": ack_ids(again)})
    assert pull(google, subscription) == {}


def test_errors_are_in_googles_form(google: GoogleClient, project: str) -> None:
    topic, subscription = made(google, project)
    nowhere = f"{project}/topics/nowhere"
    assert error_of(google, "topics.create", name=topic, body={}) == (409, "ALREADY_EXISTS")
    assert error_of(google, "subscriptions.create", name=subscription, body={"topic": topic})[0] == 409
    assert error_of(google, "subscriptions.create", name=f"{project}/subscriptions/s-2", body={"topic": nowhere}) == (
        404,
        "NOT_FOUND",
    )
    assert error_of(google, "topics.publish", topic=nowhere, body={"messages": [{"data": "aGk="}]})[0] == 404
    assert error_of(google, "topics.publish", topic=topic, body={"messages": [{}]}) == (400, "INVALID_ARGUMENT")
    assert error_of(google, "subscriptions.pull", subscription=subscription, body={"maxMessages": 0})[0] == 400
    assert error_of(google, "subscriptions.acknowledge", subscription=subscription, body={"ackIds": ["x"]})[0] == 400


async def test_gcloud_aio_finds_the_emulation_by_its_variable(
    emulation: Emulation, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pubsub = pytest.importorskip("gcloud.aio.pubsub", reason="pip install gcloud-aio-pubsub (Python 3.11.3 or newer)")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{emulation.port}")
    topic, name = f"{project}/topics/events", f"{project}/subscriptions/reader"
    async with pubsub.PublisherClient() as publisher, pubsub.SubscriberClient() as subscriber:
        await publisher.create_topic(topic)
        await subscriber.create_subscription(name, topic)
        answer = await publisher.publish(topic, [pubsub.PubsubMessage(b"hello", kind="one")])
        (received,) = await subscriber.pull(name, max_messages=10)
        assert (received.data, received.attributes) == (b"hello", {"kind": "one"})
        assert answer["messageIds"] == [received.message_id]
        await subscriber.modify_ack_deadline(name, [received.ack_id], 600)
        await subscriber.acknowledge(name, [received.ack_id])
        patch = {"subscription": {"ackDeadlineSeconds": 30}, "updateMask": "ackDeadlineSeconds"}
        assert (await subscriber.patch_subscription(name, patch))["ackDeadlineSeconds"] == 30
        assert [each["name"] for each in (await subscriber.list_subscriptions(project))["subscriptions"]] == [name]
        assert await publisher.list_topics(project) == {"topics": [{"name": topic}]}
        await subscriber.delete_subscription(name)
