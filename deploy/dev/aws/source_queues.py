"""The queues of the local AWS that stand for the buses of sources, whichever bus each is.

A queue of the operator's own has the name in its ARN, but belongs to the local account. So receive, which knows the ARN
alone, cannot postpone a message of it: one that receive could not take comes again after VISIBILITY_SECONDS. Another
bus has a queue like that which a deployment makes for a rule of EventBridge.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Final, NamedTuple

from deploy.config.running_dev import HOST
from deploy.dev.aws.emulated_stack import (
    ACCOUNT,
    PREFIX,
    UNDELIVERED,
    VISIBILITY_SECONDS,
    ensure_queue,
    queue_arn,
)
from deploy.topology.buses import BusSource, bus_sources
from deploy.topology.topology import MOST_TRIES
from shared.cloud.aws.client import AwsClient, AwsPlace
from shared.jsontext import JsonObject, to_json
from shared.ports import EVENTS

TARGET: Final = "X-Amz-Target: AmazonSQS.SendMessage"
CONTENT_TYPE: Final = "Content-Type: application/x-amz-json-1.0"


class SourceQueue(NamedTuple):
    """`arn` is what receive is told of the queue: that in the configuration, where it is the operator's own."""

    name: str
    arn: str

    def url(self, endpoint: str) -> str:
        return f"{endpoint}/{ACCOUNT}/{self.name}"


def source_queues(receive: JsonObject) -> tuple[SourceQueue, ...]:
    """Return the queues for receive's slice."""
    return tuple(map(queue_of, bus_sources(receive)))


def queue_of(source: BusSource) -> SourceQueue:
    own = source.text("sqs")
    return SourceQueue(own.rpartition(":")[2] or f"{PREFIX}{source.name}", own or queue_arn(source.name))


async def ensure_source_queues(place: AwsPlace, queues: Sequence[SourceQueue]) -> None:
    """Create what is missing. Raises TopologyFault and OSError."""
    sqs = AwsClient(place, "sqs")
    redrive = {"deadLetterTargetArn": queue_arn(f"{EVENTS}{UNDELIVERED}"), "maxReceiveCount": MOST_TRIES}
    try:
        for queue in queues:
            attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": json.dumps(redrive)}
            await ensure_queue(sqs, queue.name, attributes)
    finally:
        sqs.close()


def sending_line(source: BusSource, apis_port: int) -> str:
    """Return the command that sends a message to the source's queue: as its bus brings it."""
    endpoint = f"http://{HOST}:{apis_port}"
    message: JsonObject = {"QueueUrl": queue_of(source).url(endpoint), "MessageBody": to_json(_example(source))}
    if source.kind in ("sqs", "pubsub"):
        message["MessageAttributes"] = {"ce-type": {"DataType": "String", "StringValue": "example"}}
    return shlex.join(["curl", "--fail", "-H", TARGET, "-H", CONTENT_TYPE, "-d", to_json(message), endpoint])


def _example(source: BusSource) -> JsonObject:
    if source.kind == "eventbridge":
        return {"id": "1", "detail-type": "example", "detail": {"a": 1}}
    if source.kind == "bucket":
        described: JsonObject = {"key": f"{source.text('prefix')}a.txt", "size": 12}
        detail: JsonObject = {"bucket": {"name": source.text("bucket")}, "object": described}
        return {"id": "1", "detail-type": "Object Created", "detail": detail}
    return {"a": 1}
