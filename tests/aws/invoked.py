"""What Lambda hands to a handler: events as the platform makes them, a context, and SQS's part in a batch."""

import base64
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.cloud.aws.sqs_messages import entry_of
from shared.http import Request
from shared.jsontext import Json, JsonObject, objects_at
from shared.ports import BusMessage

ACCOUNT_ARN: Final = "arn:aws:sqs:eu-central-1:123456789012"
_TEXT_TYPES: Final = ("application/json", "application/javascript", "application/xml")
_IDS: Final = itertools.count(1)


@dataclass(slots=True)
class Context:
    """Of an invocation that may take so long from now on."""

    seconds: float = 30.0
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:hookchain"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def url_event(request: Request) -> JsonObject:
    """Return the event of a Function URL for the request: header lines joined, cookies apart, a body that is not text
    in base64. What the platform does to a body that is text by its type and not by its bytes is not known: it is base64
    here.
    """
    headers: dict[str, Json] = {}
    cookies: list[Json] = []
    for name, value in request.headers:
        text = value.encode("latin-1").decode("utf-8", "replace")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in text.split(";")]
        else:
            headers[name] = f"{headers[name]},{text}" if name in headers else text
    media_type = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    is_text = media_type.startswith("text/") or media_type in _TEXT_TYPES
    try:
        body = request.body.decode() if is_text else None
    except UnicodeDecodeError:
        body = None
    event: JsonObject = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "domainName": "abc.lambda-url.eu-central-1.on.aws",
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.peer,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": "7e3a",
            "stage": "$default",
            "timeEpoch": 1_790_000_000_000,
        },
        "isBase64Encoded": body is None,
    }
    if cookies:
        event["cookies"] = cookies
    if request.body:
        event["body"] = base64.b64encode(request.body).decode() if body is None else body
    return as_handed_over(event)


def queue_event(queue: str, messages: Iterable[BusMessage], receives: int = 1) -> JsonObject:
    """Return the event of messages that the Bus port sent to the queue."""
    return as_handed_over({"Records": [record(queue, message, receives) for message in messages]})


def record(queue: str, message: BusMessage, receives: int = 1, message_id: str = "") -> JsonObject:
    entry = entry_of(message)
    message_id = message_id or f"message-{next(_IDS)}"
    return {
        "messageId": message_id,
        "receiptHandle": f"handle of {message_id}",
        "body": entry.body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": "1790000000000",
            "SenderId": "AROAEXAMPLE:receive",
            "ApproximateFirstReceiveTimestamp": "1790000000000",
        },
        "messageAttributes": {
            name: {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}
            for name, value in entry.attributes.items()
        },
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"{ACCOUNT_ARN}:{queue}",
        "awsRegion": "eu-central-1",
    }


def as_handed_over(event: JsonObject) -> JsonObject:
    """Return it as the runtime reads it from JSON."""
    read: JsonObject = json.loads(json.dumps(event))
    return read


def failures(answer: JsonObject) -> list[Json]:
    """Return the ids of the messages that are to come again."""
    return [item["itemIdentifier"] for item in objects_at(answer, "batchItemFailures")]


@dataclass(slots=True)
class FakeQueues:
    """Keeps what it was asked to do, by the ids of the messages."""

    postponed: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    async def postpone(self, arn: str, messages: Sequence[tuple[str, int]]) -> None:
        assert arn.startswith(ACCOUNT_ARN)
        self.postponed.update({handle.removeprefix("handle of "): seconds for handle, seconds in messages})

    async def delete(self, arn: str, handles: Sequence[str]) -> None:
        assert arn.startswith(ACCOUNT_ARN)
        self.deleted += [handle.removeprefix("handle of ") for handle in handles]
