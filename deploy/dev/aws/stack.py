"""The stack of a deployment in the local AWS: queues, a bucket, tables, and the environment of its functions.

Creating resources that exist changes nothing, so it is repeated at each start.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from deploy.config.local_ports import HOST
from deploy.topology import buses, topology
from shared import ports, settings
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name
from shared.jsontext import Json, JsonObject, from_json, objects_at, to_json, value_at
from shared.outgoing.http_client import Answer
from shared.signatures.aws_v4 import Credentials

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
KEYS: Final = Credentials("local", "local")
PREFIX: Final = "hookchain-"
BUCKET: Final = "hookchain-bodies"
VISIBILITY_SECONDS: Final = 30
"""Not six times the timeout, as in a deployment: a poller prolongs it, so what a kill interrupts comes again soon."""
CALL_SECONDS: Final = 10.0
DYNAMO: Final = "DynamoDB_20120810"
QUEUES_OF: Final[Mapping[str, Sequence[str]]] = {
    "receive": (),
    "transform": (ports.EVENTS,),
    "notify": (ports.DELIVERIES, ports.DEAD_LETTERS, *(f"{topic}{ports.UNDELIVERED}" for topic in ports.TOPIC_NAMES)),
    "subscribe": (),
}
"""The queues whose messages each function takes."""
TARGET: Final = "X-Amz-Target: AmazonSQS.SendMessage"
CONTENT_TYPE: Final = "Content-Type: application/x-amz-json-1.0"


class TopologyFault(Exception):
    """The local AWS did not create something; the text says what and why."""


def place_at(endpoint: str) -> AwsPlace:
    return AwsPlace(REGION, lambda: KEYS, endpoint)


def queue_url(endpoint: str, queue: str) -> str:
    return f"{endpoint}/{ACCOUNT}/{PREFIX}{queue}"


def queue_arn(queue: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{PREFIX}{queue}"


def function_environ(apis_port: int) -> dict[str, str]:
    """Return the variables that Lambda and a deployment set for each function."""
    endpoint = f"http://{HOST}:{apis_port}"
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEYS.access_key_id,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret_access_key,
        "AWS_ENDPOINT_URL": endpoint,
        "HOOKCHAIN_BUCKET": BUCKET,
        "HOOKCHAIN_PREFIX": PREFIX,
        "HOOKCHAIN_TABLES": PREFIX,
        **{variable: queue_url(endpoint, topic) for topic, variable in settings.QUEUE_VARIABLES.items()},
    }


async def ensure(
    place: AwsPlace,
    table_requests: Sequence[JsonObject],
    visibility_seconds: int = VISIBILITY_SECONDS,
    max_receives: int = topology.MOST_TRIES,
) -> None:
    """Create the queues, tables and the bucket, as far as they are missing. Raises TopologyFault and OSError.

    `table_requests` are those to CreateTable.
    """
    sqs, dynamo, s3 = AwsClient(place, "sqs"), AwsClient(place, "dynamodb"), AwsClient(place, "s3")
    try:
        for topic in ports.TOPIC_NAMES:
            visibility = {"VisibilityTimeout": str(visibility_seconds)}
            await ensure_queue(sqs, f"{PREFIX}{topic}{ports.UNDELIVERED}", visibility)
            redrive = {"deadLetterTargetArn": queue_arn(f"{topic}{ports.UNDELIVERED}"), "maxReceiveCount": max_receives}
            await ensure_queue(sqs, f"{PREFIX}{topic}", {**visibility, "RedrivePolicy": json.dumps(redrive)})
        for table_request in table_requests:
            await _ensure_table(dynamo, table_request)
        _require(await s3.call("PUT", f"/{BUCKET}", {}, b"", CALL_SECONDS), f"bucket {BUCKET}")
    finally:
        for client in (sqs, dynamo, s3):
            client.close()


async def put_secrets(place: AwsPlace, secrets: Mapping[str, str]) -> None:
    """Store each secret, by its name without the prefix. Raises TopologyFault and OSError."""
    client = AwsClient(place, "secretsmanager", protocol="1.1")
    try:
        for name, value in secrets.items():
            created: JsonObject = {"Name": f"{PREFIX}{name}", "SecretString": value}
            answer = await client.action("secretsmanager.CreateSecret", to_json(created).encode(), CALL_SECONDS)
            if error_name(answer) == "ResourceExistsException":
                put: JsonObject = {"SecretId": f"{PREFIX}{name}", "SecretString": value}
                answer = await client.action("secretsmanager.PutSecretValue", to_json(put).encode(), CALL_SECONDS)
            _require(answer, f"secret {name}")
    finally:
        client.close()


async def _ensure_table(dynamo: AwsClient, table_request: JsonObject) -> None:
    """Create the table, or add the indexes that a table of an earlier version lacks."""
    thing = f"table {table_request['TableName']}"
    answer = await dynamo.action(f"{DYNAMO}.CreateTable", to_json(table_request).encode(), CALL_SECONDS)
    if error_name(answer) != "ResourceInUseException":  # it was created, or cannot be
        _require(answer, thing)
        return
    request = to_json({"TableName": table_request["TableName"]}).encode()
    answer = await dynamo.action(f"{DYNAMO}.DescribeTable", request, CALL_SECONDS)
    _require(answer, thing)
    described = value_at(from_json(answer.body), "Table")
    found = [each["IndexName"] for each in _indexes(described)]
    for index in _indexes(table_request):
        if index["IndexName"] not in found:
            change: JsonObject = {"GlobalSecondaryIndexUpdates": [{"Create": index}]}
            change |= {name: table_request[name] for name in ("TableName", "AttributeDefinitions")}
            answer = await dynamo.action(f"{DYNAMO}.UpdateTable", to_json(change).encode(), CALL_SECONDS)
            _require(answer, f"index {index['IndexName']} of {thing}")


def _indexes(table: Json) -> list[JsonObject]:
    return objects_at(table, "GlobalSecondaryIndexes")


async def ensure_queue(sqs: AwsClient, name: str, attributes: Mapping[str, str]) -> None:
    """Create the queue, or set the attributes of one that exists. Raises TopologyFault and OSError.

    An existing queue must not be created again: after a restart on another port, ministack would empty it.
    """
    found = await sqs.action("AmazonSQS.GetQueueUrl", to_json({"QueueName": name}).encode(), CALL_SECONDS)
    document = from_json(found.body) if found.status == 200 else None
    request: JsonObject = {"Attributes": dict(attributes)}
    if isinstance(document, dict):
        request, action = {"QueueUrl": document["QueueUrl"], **request}, "SetQueueAttributes"
    else:
        request, action = {"QueueName": name, **request}, "CreateQueue"
    _require(await sqs.action(f"AmazonSQS.{action}", to_json(request).encode(), CALL_SECONDS), f"queue {name}")


def _require(answer: Answer, thing: str) -> None:
    if answer.status != 200:
        raise TopologyFault(f"{thing}: the local AWS answered {answer.status} {error_name(answer)}")


class SourceQueue(NamedTuple):
    """The local queue of a source with a bus.

    name  its name in the local AWS
    arn   the ARN in the messages that receive gets: the one in the configuration if the source has the operator's own
          queue, otherwise that of the local queue
    """

    name: str
    arn: str

    def url(self, endpoint: str) -> str:
        return f"{endpoint}/{ACCOUNT}/{self.name}"


def source_queues(receive: JsonObject) -> tuple[SourceQueue, ...]:
    """Return the queues for receive's slice."""
    return tuple(map(queue_of, buses.bus_sources(receive)))


def queue_of(source: buses.BusSource) -> SourceQueue:
    own = source.text("sqs")
    if own:
        return SourceQueue(own.rpartition(":")[2], own)
    return SourceQueue(f"{PREFIX}{source.resource_name}", queue_arn(source.resource_name))


async def ensure_source_queues(place: AwsPlace, queues: Sequence[SourceQueue]) -> None:
    """Create what is missing. Raises TopologyFault and OSError."""
    sqs = AwsClient(place, "sqs")
    redrive = {  # to the queue from which notify takes what SQS gave up on
        "deadLetterTargetArn": queue_arn(f"{ports.EVENTS}{ports.UNDELIVERED}"),
        "maxReceiveCount": topology.MOST_TRIES,
    }
    try:
        for queue in queues:
            attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": json.dumps(redrive)}
            await ensure_queue(sqs, queue.name, attributes)
    finally:
        sqs.close()


def sending_line(source: buses.BusSource, apis_port: int) -> str:
    """Return the command that sends a message to the source's queue: as its bus brings it."""
    endpoint = f"http://{HOST}:{apis_port}"
    message: JsonObject = {"QueueUrl": queue_of(source).url(endpoint), "MessageBody": to_json(_example(source))}
    if source.kind in ("sqs", "pubsub"):
        message["MessageAttributes"] = {"ce-type": {"DataType": "String", "StringValue": "example"}}
    return shlex.join(["curl", "--fail", "-H", TARGET, "-H", CONTENT_TYPE, "-d", to_json(message), endpoint])


def _example(source: buses.BusSource) -> JsonObject:
    if source.kind == "eventbridge":
        return {"id": "1", "detail-type": "example", "detail": {"a": 1}}
    if source.kind == "bucket":
        described: JsonObject = {"key": f"{source.text('prefix')}a.txt", "size": 12}
        detail: JsonObject = {"bucket": {"name": source.text("bucket")}, "object": described}
        return {"id": "1", "detail-type": "Object Created", "detail": detail}
    return {"a": 1}
