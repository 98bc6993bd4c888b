"""Receive as a bus meets it: sources, the messages that platforms make, and a way to bring them."""

import base64
import json
from typing import Final

from functions.receive.lambda_handler import take_messages
from shared.dead_letter_message import dead_letter_from
from shared.errors import Rejected, Temporary
from shared.event import Event
from shared.http import Reply, Request
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import DEAD_LETTERS
from tests.aws.invoked import Context, FakeQueues, failures
from tests.aws.sqs_stand_in import lambda_record
from tests.fakes.bus import FakeBus
from tests.posting import JSON, Posting

SOURCES: Final = """
orders: {bus: {pubsub: orders}, schema: {type: object}}
uploads: {bus: {bucket: my-files}}
jobs: {bus: {sqs: "arn:aws:sqs:eu-central-1:123456789012:jobs"}}
cloud: {bus: {eventbridge: {source: [com.example.shop]}}}
shop: {auth: none}
"""
JOBS: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
CLOUD: Final = "arn:aws:sqs:eu-central-1:123456789012:hookchain-bus-cloud"
UPLOADS: Final = "arn:aws:sqs:eu-central-1:123456789012:hookchain-bus-uploads"
NOTIFICATION: Final = {
    "notificationConfig": "projects/_/buckets/my-files/notificationConfigs/1",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "my-files",
    "objectId": "in/é.csv",
    "objectGeneration": "1772366404",
    "eventTime": "2026-03-01T12:00:04.123456Z",
}
RESOURCE: Final[JsonObject] = {"kind": "storage#object", "name": "in/é.csv", "size": "12", "metageneration": "1"}
S3: Final[JsonObject] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-03-01T12:00:04Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:s3:::my-files"],
    "detail": {
        "version": "0",
        "bucket": {"name": "my-files"},
        "object": {"key": "in/é.csv", "size": 12, "etag": "b1", "sequencer": "617f08299329d189"},
        "reason": "PutObject",
    },
}


async def nobody(_: Request) -> None:
    """Let every push in."""


async def rejecting(_: Request) -> None:
    raise Rejected("push_identity_mismatch", "not a push of this deployment")


async def unset(_: Request) -> None:
    raise Temporary("push_identity_unset", "not set")


class Bus:
    """Receive with these sources, met by a bus."""

    def __init__(self, verify: object = nobody, bus: FakeBus | None = None) -> None:
        self.posting = Posting(SOURCES, bus=bus)
        object.__setattr__(self.posting.receiver, "verify_push", verify)

    async def push(
        self, source: str, data: bytes, attributes: "dict[str, str] | None" = None, message_id: str = "m1"
    ) -> Reply:
        message: JsonObject = {
            "data": base64.b64encode(data).decode(),
            "attributes": {**(attributes or {})},
            "messageId": message_id,
        }
        body = to_json({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()
        return await self.posting.send(f"/{source}", body, JSON)

    def invoke(self, arn: str, *entries: JsonObject, queues: FakeQueues | None = None) -> list[Json]:
        """Return the ids of the messages that are to come again."""
        records: list[Json] = [{**lambda_record(each), "eventSourceARN": arn} for each in entries]
        answer = take_messages(
            {"Records": records}, Context(), lambda: self.posting.receiver, lambda: queues or FakeQueues()
        )
        return failures(answer)

    @property
    def events(self) -> list[Event]:
        return self.posting.events

    @property
    def letters(self) -> list[DeadLetter]:
        return [dead_letter_from(json.loads(each.data)) for each in self.posting.bus.on(DEAD_LETTERS)]
