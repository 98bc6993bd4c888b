"""SQS's SendMessageBatch with every rule that its documentation has, and the record that Lambda makes of a message.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from shared.cloud.aws.sqs_messages import message_of
from shared.jsontext import JsonObject, mappings_at
from shared.ports import BusMessage

MAX_BYTES: Final = 1_048_576

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_CHARACTERS: Final = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


class Rule(Exception):
    """A rule that a message breaks. Its text is SQS's code."""


@dataclass(slots=True)
class SqsServer:
    """
    kept      the messages that it took, each with its queue's URL
    counts    how many messages each request had
    statuses  how it answers the next requests: a status with an error
    failures  why it does not take the messages of the next requests, in their order: a code, with a `*` before it where
              the fault is the sender's; None takes the message
    together  requests are answered once so many are there
    problems  the rules that messages broke
    """

    kept: list[tuple[str, JsonObject]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    failures: list[list[str | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    together: int = 1
    _waiting: asyncio.Barrier | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=16 * MAX_BYTES)
        app.router.add_post("/", self._send)
        return app

    def on(self, queue: str) -> list[BusMessage]:
        pushes = [message_of(lambda_record(entry)) for url, entry in self.kept if url == queue]
        return [BusMessage(push.data, push.attributes) for push in pushes]

    def delays(self, queue: str) -> list[float]:
        return [float(str(entry.get("DelaySeconds", 0))) for url, entry in self.kept if url == queue]

    async def _send(self, request: web.Request) -> web.Response:
        assert request.headers["X-Amz-Target"] == "AmazonSQS.SendMessageBatch"
        assert request.content_type == "application/x-amz-json-1.0"
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        document = json.loads(await request.read())
        entries: list[JsonObject] = document["Entries"]
        self.counts.append(len(entries))
        if self.together > 1:
            self._waiting = self._waiting or asyncio.Barrier(self.together)
            await self._waiting.wait()
        if self.statuses:
            status, error = self.statuses.pop(0)
            return _answer(status, {"__type": f"com.amazonaws.sqs#{error}"})
        try:
            _check_batch(entries)
        except Rule as rule:
            self.problems.append(str(rule))
            return _answer(400, {"__type": f"com.amazonaws.sqs#{rule}"})
        codes: list[str | None] = self.failures.pop(0) if self.failures else []
        taken: list[JsonObject] = []
        failed: list[JsonObject] = []
        for number, entry in enumerate(entries):
            code: str | None = codes[number] if number < len(codes) else self._fault(entry)
            if code is None:
                self.kept.append((document["QueueUrl"], entry))
                taken.append({"Id": entry["Id"], "MessageId": f"m{len(self.kept)}", "MD5OfMessageBody": ""})
            else:
                failed.append({"Id": entry["Id"], "SenderFault": code[0] == "*", "Code": code.removeprefix("*")})
        return _answer(200, {"Successful": [*taken], **({"Failed": [*failed]} if failed else {})})

    def _fault(self, entry: JsonObject) -> str | None:
        try:
            check_message(entry)
        except Rule as rule:
            self.problems.append(str(rule))
            return f"*{rule}"
        return None


def _answer(status: int, document: JsonObject) -> web.Response:
    return web.Response(status=status, body=json.dumps(document).encode(), content_type="application/x-amz-json-1.0")


def _check_batch(entries: list[JsonObject]) -> None:
    ids = [str(entry["Id"]) for entry in entries]
    if not entries:
        raise Rule("EmptyBatchRequest")
    if len(entries) > 10:
        raise Rule("TooManyEntriesInBatchRequest")
    if len(set(ids)) < len(ids):
        raise Rule("BatchEntryIdsNotDistinct")
    if not all(map(_ID.fullmatch, ids)):
        raise Rule("InvalidBatchEntryId")
    if sum(map(size, entries)) > MAX_BYTES:
        raise Rule("BatchRequestTooLong")


def check_message(entry: JsonObject) -> None:
    """Raises Rule."""
    attributes = mappings_at(entry, "MessageAttributes")
    _check_text(entry["MessageBody"])
    if len(attributes) > 10:
        raise Rule("InvalidParameterValue")
    for name, attribute in attributes.items():
        assert attribute["DataType"] == "String"
        _check_text(attribute["StringValue"])
        is_reserved = name.lower().startswith(("aws.", "amazon."))
        if not _NAME.fullmatch(name) or name.startswith(".") or name.endswith(".") or ".." in name or is_reserved:
            raise Rule("InvalidParameterValue")
    delay = entry.get("DelaySeconds", 0)
    if size(entry) > MAX_BYTES or not isinstance(delay, int) or not 0 <= delay <= 900:
        raise Rule("InvalidParameterValue")


def _check_text(text: object) -> None:
    if not isinstance(text, str) or not text:
        raise Rule("MissingParameter")
    if not _CHARACTERS.fullmatch(text):
        raise Rule("InvalidMessageContents")


def size(entry: JsonObject) -> int:
    """Return the bytes that count: of the body, and of each attribute's name, type and value."""
    texts = [str(entry["MessageBody"])]
    for name, attribute in mappings_at(entry, "MessageAttributes").items():
        texts += [name, str(attribute["DataType"]), str(attribute["StringValue"])]
    return sum(len(text.encode()) for text in texts)


def lambda_record(entry: Mapping[str, object]) -> JsonObject:
    """Return the record that Lambda makes of a message, as it was sent or as ReceiveMessage answers it.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    """
    attributes = entry.get("MessageAttributes", {})
    assert isinstance(attributes, Mapping)
    return {
        "messageId": str(entry.get("MessageId", "059f36b4-87a3-44ab-83d2-661975830a7d")),
        "receiptHandle": str(entry.get("ReceiptHandle", "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a")),
        "body": str(entry["Body"] if "Body" in entry else entry["MessageBody"]),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
        "messageAttributes": {
            name: {
                "stringValue": attribute["StringValue"],
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": attribute["DataType"],
            }
            for name, attribute in attributes.items()
        },
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:a-bundle-events",
        "awsRegion": "eu-central-1",
    }
