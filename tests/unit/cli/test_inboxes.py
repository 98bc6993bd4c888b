"""The inboxes of `hookchain listen`: whose they are, and which answers of a cloud pass."""

import json
from collections.abc import Callable
from typing import Final

import pytest

from deploy.cloud_access.inboxes import AwsInboxes, GoogleInboxes, Inboxes, InboxFault, NoInbox
from shared.cloud.aws.client import AwsPlace
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import Temporary
from shared.jsontext import Json
from shared.signatures.aws_v4 import Credentials
from tests.fakes.receiver import ScriptedReceiver, receiver

NAME: Final = "ada-0123abcd"
TOPIC: Final = "projects/shop/topics/hookchain-tap"
QUEUE: Final[Json] = {"QueueUrl": f"http://sqs/1/hookchain-tap-{NAME}"}


def answer(document: Json, status: int = 200) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


def fault(kind: str, status: int = 400) -> bytes:
    return answer({"__type": f"com.amazonaws.sqs#{kind}"}, status)


def aws(cloud: ScriptedReceiver) -> AwsInboxes:
    place = AwsPlace("eu-central-1", lambda: Credentials("key", "secret"), f"http://{cloud.address}")
    return AwsInboxes(place, "hookchain-")


def google(cloud: ScriptedReceiver) -> GoogleInboxes:
    return GoogleInboxes(f"http://{cloud.address}", TOPIC, "playground", {}, no_authorization)


async def test_a_queue_that_somebody_removed_is_created_again() -> None:
    gone = fault("QueueDoesNotExist")
    with receiver(answer(QUEUE), gone, gone, answer(QUEUE)) as cloud:
        inboxes = aws(cloud)
        await inboxes.create(NAME)
        with pytest.raises(NoInbox):
            await inboxes.receive(NAME)
        await inboxes.create(NAME)
        assert cloud.header("x-amz-target") == "AmazonSQS.CreateQueue"


async def test_a_queue_of_another_deployment_is_no_inbox() -> None:
    """The prefix of the other deployment is `hookchain-tap-`."""
    names = [NAME, "events", "events-undelivered", "deliveries", "bus-recovered-b7cf7d5d", "bus-shop-0123abcd"]
    with receiver(answer({"QueueUrls": [f"http://sqs/1/hookchain-tap-{name}" for name in names]})) as cloud:
        assert await aws(cloud).names() == [NAME]


@pytest.mark.parametrize("topic", ["projects/stage/topics/hookchain-tap", "_deleted-topic_"])
async def test_a_subscription_to_another_topic_is_not_used(topic: str) -> None:
    with receiver(answer({"error": {"code": 409}}, 409), answer({"topic": topic})) as cloud:
        with pytest.raises(InboxFault, match=f"is for the topic {topic}, and not for {TOPIC}. Remove it with --stop"):
            await google(cloud).create(NAME)
        assert (cloud.heads[-1].split()[:2], cloud.bodies[-1]) == (
            ["GET", f"/v1/projects/playground/subscriptions/hookchain-tap-{NAME}"],
            b"",
        )


async def test_a_subscription_that_exists_is_used() -> None:
    with receiver(answer({"error": {"code": 409}}, 409), answer({"topic": TOPIC})) as cloud:
        await google(cloud).create(NAME)


@pytest.mark.parametrize(
    ("make", "said", "error"),
    [
        (google, answer({"error": {"message": "try again"}}, 503), Temporary),
        (google, answer({}, 429), Temporary),
        (google, answer({}, 403), InboxFault),
        (google, answer({}, 404), NoInbox),
        (aws, fault("ServiceUnavailable", 503), Temporary),
        (aws, fault("RequestThrottled"), Temporary),
        (aws, fault("AccessDenied", 403), InboxFault),
        (aws, fault("QueueDoesNotExist"), NoInbox),
    ],
)
async def test_only_a_fault_that_passes_is_temporary(
    make: Callable[[ScriptedReceiver], Inboxes], said: bytes, error: type[Exception]
) -> None:
    with receiver(said) as cloud:
        with pytest.raises(error) as caught:
            await make(cloud).receive(NAME)
        assert type(caught.value) is error


async def test_a_queue_cannot_be_created_again_at_once() -> None:
    with (
        receiver(fault("QueueDoesNotExist"), fault("QueueDeletedRecently")) as cloud,
        pytest.raises(Temporary, match="it was removed less than a minute ago"),
    ):
        await aws(cloud).create(NAME)
