"""The messages of a bus that a source takes: those that Pub/Sub pushes, and those that Lambda reads from an SQS queue.

The platform proves who brings a message: by the token of a push, or by IAM, which decides who may invoke the function.
A message that can never become an event is published as a dead letter instead. It is acknowledged only once the bus has
confirmed that dead letter. If anything else fails, the platform delivers the message again.
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
"""The header with the id of the message."""
EVENT_ID: Final = "bus-event-id"
"""The header with the id of an event in a bucket."""
MAX_KEPT_BYTES: Final = 128 * 1024
"""The most bytes of a message in its dead letter, which travels over the bus itself, and is stored."""
HOPS: Final = "hookchain-hops"
"""The header with the number of Hookchain deployments that an event has gone through.

A deployment that publishes an event to a bus or writes it into a bucket states this number. So an event that goes round
in a loop of deployments is noticed.
"""
_RESERVED_HEADERS: Final = frozenset({MESSAGE_ID, EVENT_ID, "content-length", "host"})
"""Headers that no attribute of a message may set."""
_HOPS_VALUE: Final = re.compile(r"(?:urn:hookchain:hops:)?([0-9]{1,3})")
"""A number of hops. In the `resources` of an event of EventBridge it is a URN."""
_ASCII_HEADERS: Final = frozenset({"content-type", "content-encoding"})
"""Attributes by which the data is parsed. As headers, they must be ASCII."""

OBJECT_EVENTS: Final[Mapping[str, str]] = {
    "OBJECT_FINALIZE": "finalize",
    "OBJECT_DELETE": "delete",
    "OBJECT_ARCHIVE": "archive",
    "OBJECT_METADATA_UPDATE": "metadata_update",
    "Object Created": "finalize",
    "Object Deleted": "delete",
}
"""The name in a source's `events` of each kind of event in a bucket, by its name at Cloud Storage and at S3."""


class ObjectEvent(NamedTuple):
    """An event of an object in a bucket.

    id         the same however often the platform reports the event
    document   the data of the event
    hops       the header HOPS with the hops in the object's metadata; empty if there are none, as always from S3, whose
               events do not contain metadata
    """

    id: str
    document: JsonObject
    hops: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BusInput:
    """A source's bus.

    kind        the kind in the source's `bus`; `bucket` has the events of objects
    name        the last part of the name of the queue that a deployment makes for it on AWS
    max_bytes   the largest message
    queue_arn   the ARN of the operator's own queue; empty if the deployment makes the queue
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
            # The sender may have stated the hops in an attribute. If not, look for them in the data.
            has_hops = any(name == HOPS for name, _ in headers)
            if not has_hops:
                headers = (*headers, *_hops_in_data(push.data))
            return http.Request("POST", "/", "", headers, push.data)
        notification = object_event(push)
        headers = ((MESSAGE_ID, push.message_id), (EVENT_ID, notification.id), *notification.hops)
        try:
            text = to_json(notification.document)
        except ValueError as error:  # Python's parser accepts NaN and infinity, which JSON does not have
            raise _no_notification() from error
        return http.Request("POST", "/", "", headers, text.encode("utf-8", "backslashreplace"))


def read_bus(settings: Json, max_bytes: int) -> BusInput | None:
    if not isinstance(settings, dict):
        return None
    return BusInput(str(settings["kind"]), str(settings["name"]), max_bytes, str(settings.get("sqs", "")))


def _headers(push: Push) -> tuple[tuple[str, str], ...]:
    """Return the id and the attributes of the message as headers."""
    headers = [(MESSAGE_ID, push.message_id)]
    for attribute, value in push.attributes.items():
        name = attribute.lower()
        if name in _RESERVED_HEADERS:
            continue
        text = value.encode("ascii", "replace").decode() if name in _ASCII_HEADERS else value
        headers.append((name, text))
    return tuple(headers)


def _hops_in_data(data: bytes) -> tuple[tuple[str, str], ...]:
    """Return the header HOPS with the hops in the data of a message; empty if there are none.

    An event of EventBridge has them in `resources`. A queue without raw message delivery gets a document of SNS around
    the message, which has them in `MessageAttributes`. If these hops were lost, a destination that publishes to the bus
    could feed this source for ever.
    """
    # Hops have this word in their name. Few messages contain it, so most are not parsed here.
    if b"hookchain" not in data:
        return ()
    try:
        document: Json = json.loads(data)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    return _hops([*list_at(document, "resources"), value_at(document, "MessageAttributes", HOPS, "Value")])


def _hops(values: Sequence[Json]) -> tuple[tuple[str, str], ...]:
    """Return the header HOPS with the first of the values that is a number of hops, or a URN with one; else empty."""
    for value in values:
        hops = _HOPS_VALUE.fullmatch(value) if isinstance(value, str) else None
        if hops:
            return ((HOPS, hops[1]),)
    return ()


def object_event(push: Push) -> ObjectEvent:
    """Return the event of a notification of Cloud Storage, or of S3's event from EventBridge. Raises Rejected.

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
    """Return the event of a notification, whose data is the object's resource. Raises Rejected.

    `attributes` has the notification's attributes by their names in lower case.
    """
    event = OBJECT_EVENTS.get(attributes["eventtype"])
    bucket = attributes.get("bucketid", "")
    name = attributes.get("objectid", "")
    generation = attributes.get("objectgeneration", "")
    if event is None or not bucket or not name:
        raise _no_notification()
    id_parts = (bucket, name, generation, str(resource.get("metageneration", "")), event)
    document: JsonObject = {
        "event": event,
        "bucket": bucket,
        "name": name,
        "size": _size(resource.get("size")),
        "time": attributes.get("eventtime") or None,
        "object": resource,
    }
    hops = _hops([value_at(resource, "metadata", HOPS)])
    return ObjectEvent("/".join(id_parts), document, hops)


def _s3_event(document: JsonObject) -> ObjectEvent:
    """Return the event of EventBridge's document. Raises Rejected."""
    event_id = document.get("id")
    event = OBJECT_EVENTS.get(str(document.get("detail-type")))
    bucket_name = value_at(document, "detail", "bucket", "name")
    resource = value_at(document, "detail", "object")
    if not isinstance(event_id, str) or event is None:
        raise _no_notification()
    if not isinstance(bucket_name, str) or not isinstance(resource, dict):
        raise _no_notification()
    name = resource.get("key")
    if not isinstance(name, str) or not name:
        raise _no_notification()
    notification: JsonObject = {
        "event": event,
        "bucket": bucket_name,
        "name": name,
        "size": _size(resource.get("size")),
        "time": document.get("time"),
        "object": resource,
    }
    return ObjectEvent(event_id, notification)


_MAX_SIZE_DIGITS: Final = 19
"""The number of digits of the largest signed 64-bit integer."""


def _size(value: Json) -> int | None:
    """Return the size in bytes, which Cloud Storage writes as text; None if it is not a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_SIZE_DIGITS:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _no_notification() -> errors.Rejected:
    return errors.Rejected("malformed_body", "the message is not a bucket's notification about one of its objects")


def rejected_letter(source: str, push: Push, error: errors.Rejected, now: float) -> ports.BusMessage:
    """Return the dead letter of a message that can never be an event. A person can look at it; it is never replayed."""
    # The id is the same each time the bus delivers the message. A message without an id is identified by its data.
    message_identity = push.message_id.encode("utf-8", "replace") or push.data
    letter_id = sha256(b"%b\n%b" % (source.encode(), message_identity)).hexdigest()
    reason = f"source {source!r} cannot take the message: {error.code}: {error.detail}"
    if len(push.data) > MAX_KEPT_BYTES:
        reason += f"; the first {MAX_KEPT_BYTES:,} of its {len(push.data):,} bytes are kept"
    letter = journal.DeadLetter(
        id=letter_id,
        code="message_rejected",
        reason=reason,
        at=now,
        message=push.data[:MAX_KEPT_BYTES],
        topic=ports.DEAD_LETTERS,
    )
    return dead_letter_message(letter)


async def read_push(head: http.Request, read_body: http.ReadBody, verify_push: VerifyPush) -> Push:
    """Return the message in a push of the bus. Raises Rejected, and Temporary if the identity of the push cannot be
    verified now."""
    await verify_push(head)
    try:
        return parse_push(await read_body(MAX_PUSH_BYTES))
    except errors.Permanent as error:
        raise errors.Rejected("malformed_body", error.detail) from error
