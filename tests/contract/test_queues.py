"""The calls of whoever takes messages from a queue, on a local AWS."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from shared.cloud.aws.batches import Queues
from shared.cloud.aws.client import AwsClient, AwsPlace
from shared.jsontext import Json, JsonObject
from tests.fakes.receiver import http_answer, receiver

ARN = "arn:aws:sqs:eu-central-1:123456789012:{name}"


class Queue:
    """A queue with messages in it, as whoever reads it sees it."""

    def __init__(self, place: AwsPlace, name: str) -> None:
        self.arn = ARN.format(name=name)
        self._name = name
        self._url = f"{place.endpoint}/123456789012/{name}"
        self._client = AwsClient(place, "sqs")

    async def made(self, count: int) -> "Queue":
        await self._ask("CreateQueue", {"QueueName": self._name, "Attributes": {"VisibilityTimeout": "600"}})
        for number in range(count):
            await self._ask("SendMessage", {"QueueUrl": self._url, "MessageBody": f"{number}"})
        return self

    async def receive(self) -> list[str]:
        """Return the receipt handles of what is there now."""
        handles: list[str] = []
        while True:
            found = (await self._ask("ReceiveMessage", {"QueueUrl": self._url, "MaxNumberOfMessages": 10})).get(
                "Messages"
            )
            if not isinstance(found, list) or not found:
                return handles
            handles += [str(message["ReceiptHandle"]) for message in found if isinstance(message, dict)]

    async def _ask(self, action: str, body: JsonObject) -> JsonObject:
        answer = await self._client.action(f"AmazonSQS.{action}", json.dumps(body).encode(), 5.0)
        assert answer.status == 200, answer.body
        document: Json = json.loads(answer.body or b"{}")
        return document if isinstance(document, dict) else {}

    def close(self) -> None:
        self._client.close()


@pytest.fixture
async def queues(aws: AwsPlace) -> AsyncIterator[Queues]:
    made = Queues(aws)
    yield made
    made.close()


async def test_a_message_comes_again_after_the_time_that_is_set(aws: AwsPlace, queues: Queues) -> None:
    queue = await Queue(aws, "postponed").made(12)
    handles = await queue.receive()
    assert (len(handles), await queue.receive()) == (12, [])
    await queues.postpone(queue.arn, [(handle, 0 if number else 600) for number, handle in enumerate(handles)])
    assert len(await queue.receive()) == 11  # in two requests: SQS takes ten messages in one
    queue.close()


async def test_a_message_that_is_deleted_never_comes_again(aws: AwsPlace, queues: Queues) -> None:
    queue = await Queue(aws, "deleted").made(2)
    first, second = await queue.receive()
    await queues.delete(queue.arn, [first])
    await queues.postpone(queue.arn, [(second, 0)])
    assert len(await queue.receive()) == 1
    queue.close()


async def test_a_missing_queue_is_logged_and_raises_nothing(queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    await queues.postpone(ARN.format(name="nowhere"), [("a handle", 10)])
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["severity"], line["topic"], line["count"]) == ("WARNING", "nowhere", 1)
    assert line["detail"].startswith("ChangeMessageVisibilityBatch: SQS answered 400")
    assert "a handle" not in line["detail"]


@pytest.mark.parametrize("answer", [http_answer(503), http_answer(200, b"<html>"), b""])
async def test_an_sqs_that_fails_is_logged_and_raises_nothing(
    aws: AwsPlace, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(answer) as broken:
        place = aws._replace(endpoint=f"http://{broken.address}")
        queues = Queues(place)
        await asyncio.wait_for(queues.delete(ARN.format(name="any"), ["a handle"]), 5)
        queues.close()
    assert "DeleteMessageBatch: SQS" in capsys.readouterr().out
