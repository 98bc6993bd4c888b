"""The messages of a bus that a source takes: what Pub/Sub pushes, and what Lambda reads from a queue of SQS.

Who brings a message is verified by the platform's means: the token of the push, or IAM, which says what may invoke the
function. A message that can never become an event is no fault of ours that passes: it becomes a dead letter, and is
acknowledged once the bus has confirmed that. Whatever else fails has the message brought again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from shared import errors, http, journal, ports
from shared.dead_letter_message import dead_letter_message
from shared.jsontext import Json, JsonObject, list_at, to_json, value_at
from shared.push import MAX_PUSH_BYTES, Push, VerifyPush, parse_push

MESSAGE_ID: Final = "bus-message-id"
EVENT_ID: Final = "bus-event-id"
MAX_KEPT_BYTES: Final = 128 * 1024
"""Of a message in a dead letter, which travels over the bus itself and is stored."""
HOPS: Final = "hookchain-hops"
_OWN: Final = frozenset({MESSAGE_ID, EVENT_ID, "content-length", "host"})
_HOPS: Final = re.compile(r"(?:urn:hookchain:hops:)?([0-9]{1,3})")
_ASCII: Final = frozenset({"content-type", "content-encoding"})
"""Attributes that say how the data is read."""

OBJECT_EVENTS: Final[Mapping[str, str]] = {
    "OBJECT_FINALIZE": "finalize",
    "OBJECT_DELETE": "delete",
    "OBJECT_ARCHIVE": "archive",
    "OBJECT_METADATA_UPDATE": "metadata_update",
    "Object Created": "finalize",
    "Object Deleted": "delete",
}
"""What happened to an object, in the words of Cloud Storage and of S3, and in those of a source's `events`."""


class ObjectEvent(NamedTuple):
    """An event of an object in a bucket. `id` is the same however often the platform reports it.

    `hops` is the header of an object that a destination has written, if the platform reports its metadata.
    """

    id: str
    document: JsonObject
    hops: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BusInput:
    """A source's bus. `name` is the last part of the name of the queue that a deployment makes for it on AWS.

    `max_bytes` is the largest message. `queue_arn` is the ARN of the operator's own queue.
    """

    kind: str
    name: str
    max_bytes: int
    queue_arn: str = ""

    @property
    def max_push_bytes(self) -> int:
        return MAX_PUSH_BYTES

    def request_of(self, push: Push) -> http.Request:
        """Return the message as a request, with its attributes as headers. Raises Rejected."""
        if len(push.data) > self.max_bytes:
            raise http.body_too_large(self.max_bytes)
        if self.kind != "bucket":
            headers = _headers(push)
            if not any(name == HOPS for name, _ in headers):
                headers = (*headers, *_carried_hops(push.data))
            return http.Request("POST", "/", "", headers, push.data)
        notification = object_event(push)
        headers = ((MESSAGE_ID, push.message_id), (EVENT_ID, notification.id), *notification.hops)
        try:
            text = to_json(notification.document)
        except ValueError as error:  # NaN and infinity, which Python reads
            raise _no_notification() from error
        return http.Request("POST", "/", "", headers, text.encode("utf-8", "backslashreplace"))


def read_bus(settings: Json, max_bytes: int) -> BusInput | None:
    if not isinstance(settings, dict):
        return None
    return BusInput(str(settings["kind"]), str(settings["name"]), max_bytes, str(settings.get("sqs", "")))


def _headers(push: Push) -> tuple[tuple[str, str], ...]:
    headers = [(MESSAGE_ID, push.message_id)]
    for name, value in push.attributes.items():
        low = name.lower()
        if low in _ASCII:
            value = value.encode("ascii", "replace").decode()
        if low not in _OWN:
            headers.append((low, value))
    return tuple(headers)


def _carried_hops(data: bytes) -> tuple[tuple[str, str], ...]:
    """Return as a header the hops in the `resources` of an event of EventBridge, or in the document of SNS.

    SNS puts this document into a queue that does not have raw message delivery. Without its hops, a destination that
    publishes to the bus could feed this source for ever.
    """
    if b"hookchain" not in data:  # as good as always: nothing is parsed twice
        return ()
    try:
        document: Json = json.loads(data)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    return _hops([*list_at(document, "resources"), value_at(document, "MessageAttributes", HOPS, "Value")])


def _hops(values: Sequence[Json]) -> tuple[tuple[str, str], ...]:
    """Return the header of the first value that is a number of hops, or the URN of one."""
    hops = next((hops for each in values if isinstance(each, str) and (hops := _HOPS.fullmatch(each))), None)
    return ((HOPS, hops[1]),) if hops else ()


def object_event(push: Push) -> ObjectEvent:
    """Return what a notification of Cloud Storage, or an event of S3 from EventBridge, says. Raises Rejected.

    https://cloud.google.com/storage/docs/pubsub-notifications
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    try:
        document: Json = json.loads(push.data)
    except (ValueError, RecursionError) as error:
        raise _no_notification() from error
    if not isinstance(document, dict):
        raise _no_notification()
    attributes = {name.lower(): value for name, value in push.attributes.items()}
    return _cloud_storage_event(attributes, document) if "eventtype" in attributes else _s3_event(document)


def _cloud_storage_event(attributes: Mapping[str, str], resource: JsonObject) -> ObjectEvent:
    event = OBJECT_EVENTS.get(attributes["eventtype"])
    bucket, name, generation = (attributes.get(key, "") for key in ("bucketid", "objectid", "objectgeneration"))
    if event is None or not bucket or not name:
        raise _no_notification()
    parts = (bucket, name, generation, str(resource.get("metageneration", "")), event)
    document: JsonObject = {
        "event": event,
        "bucket": bucket,
        "name": name,
        "size": _size(resource.get("size")),
        "time": attributes.get("eventtime") or None,
        "object": resource,
    }
    hops = _hops([value_at(resource, "metadata", HOPS)])
    return ObjectEvent("/".join(parts), document, hops)


def _s3_event(document: JsonObject) -> ObjectEvent:
    bucket, described = value_at(document, "detail", "bucket"), value_at(document, "detail", "object")
    event = OBJECT_EVENTS.get(str(document.get("detail-type")))
    id_ = document.get("id")
    if not isinstance(bucket, dict) or not isinstance(described, dict) or event is None or not isinstance(id_, str):
        raise _no_notification()
    name, bucket_name = described.get("key"), bucket.get("name")
    if not isinstance(name, str) or not isinstance(bucket_name, str) or not name:
        raise _no_notification()
    notification: JsonObject = {
        "event": event,
        "bucket": bucket_name,
        "name": name,
        "size": _size(described.get("size")),
        "time": document.get("time"),
        "object": described,
    }
    return ObjectEvent(id_, notification)


def _size(value: Json) -> int | None:
    """Return the size, which Cloud Storage writes as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _no_notification() -> errors.Rejected:
    return errors.Rejected("malformed_body", "the message is not a bucket's notification about one of its objects")


def rejected_letter(source: str, push: Push, error: errors.Rejected, now: float) -> ports.BusMessage:
    """Return the dead letter of a message that can never be an event: for a person to look at, never replayed."""
    id_ = sha256(b"%b\n%b" % (source.encode(), push.message_id.encode("utf-8", "replace") or push.data)).hexdigest()
    reason = f"source {source!r} cannot take the message: {error.code}: {error.detail}"
    if len(push.data) > MAX_KEPT_BYTES:
        reason += f"; the first {MAX_KEPT_BYTES:,} of its {len(push.data):,} bytes are kept"
    return dead_letter_message(
        journal.DeadLetter(id_, "message_rejected", reason, now, push.data[:MAX_KEPT_BYTES], ports.DEAD_LETTERS)
    )


async def read_push(head: http.Request, read_body: http.ReadBody, verify_push: VerifyPush | None) -> Push:
    """Return the message in a push of the bus. Raises Rejected, and Temporary if the identity of the push cannot be
    verified now."""
    if verify_push is None:
        rule = "the source takes messages of its `bus` only, and no requests of senders"
        raise errors.Rejected("push_identity_mismatch", rule)
    await verify_push(head)
    try:
        return parse_push(await read_body(MAX_PUSH_BYTES))
    except errors.Permanent as error:
        raise errors.Rejected("malformed_body", error.detail) from error
