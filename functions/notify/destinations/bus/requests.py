"""The request by which each bus takes a message.

https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import re
from typing import Final
from urllib.parse import urlencode

from functions.notify.destination import Attempt
from functions.notify.destinations.bus.message import (
    attributes_of,
    bounded_key,
    size_of,
    text_of,
    verify_size,
    xml_safe,
)
from functions.notify.destinations.bus.settings import AwsBus, GoogleTopic, Settings
from functions.notify.event_content import public_cloudevent
from functions.notify.http_kind import OutgoingRequest, json_body, json_request, rendered_line
from shared.base64_text import base64_text
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.outgoing.auth import AnyRequestAuth, AwsRequestAuth, GoogleOAuthRequestAuth
from shared.times import unix_seconds

PUBSUB: Final = "https://pubsub.googleapis.com"
PUBSUB_SCOPE: Final = "https://www.googleapis.com/auth/pubsub"
MAX_PUBSUB_BYTES: Final = 10_000_000
MAX_PUBSUB_VALUE_BYTES: Final = 1_024
MAX_SNS_BYTES: Final = 262_144
MAX_AWS_BYTES: Final = 1_048_576
"""SQS's limit, and EventBridge's."""
MAX_DETAIL_TYPE: Final = 128
MAX_SOURCE: Final = 256
_ORDERING_KEY: Final = re.compile(r"[\x20-\x7e]{0,1024}")
_GROUP: Final = re.compile(r"[!-~]{1,128}")
_STRING: Final = "String"


def pubsub_request(
    delivery: Delivery, settings: Settings, topic: GoogleTopic, attempt: Attempt, view: JsonObject
) -> OutgoingRequest:
    """Raises Permanent."""
    text, attributes = text_of(delivery, settings), attributes_of(delivery, settings, attempt, view)
    verify_size(size_of(text, attributes), MAX_PUBSUB_BYTES, "Pub/Sub")
    for name, value in attributes.items():
        if len(value.encode()) > MAX_PUBSUB_VALUE_BYTES:
            rule = f"attribute {name!r} has more than {MAX_PUBSUB_VALUE_BYTES:,} bytes, which Pub/Sub does not take"
            raise Permanent("output_too_large", rule)
    message: JsonObject = {"data": base64_text(text.encode()), "attributes": {**attributes}}
    if settings.ordering_key and (key := rendered_line("ordering_key", settings.ordering_key, view)):
        message["orderingKey"] = bounded_key(key, _ORDERING_KEY)
    origin = f"https://{settings.location}-pubsub.googleapis.com" if settings.location else PUBSUB
    url = f"{settings.api_url or origin}/v1/{topic.path}:publish"
    auth = (GoogleOAuthRequestAuth(scheme="google_oauth", scope=PUBSUB_SCOPE, secret=settings.secret),)
    is_emulated = url.startswith("http://")  # an emulator asks for no token, and plain http may carry none
    return json_request(
        url, {"messages": [message]}, auth=() if is_emulated else auth, allow_private=settings.allow_private
    )


def sqs_request(
    delivery: Delivery, settings: Settings, queue: AwsBus, attempt: Attempt, view: JsonObject
) -> OutgoingRequest:
    """Raises Permanent."""
    text, attributes = _aws_message(delivery, settings, attempt, view, MAX_AWS_BYTES, "SQS")
    origin = settings.api_url or queue.origin
    written: JsonObject = {name: {"DataType": _STRING, "StringValue": value} for name, value in attributes.items()}
    body: JsonObject = {
        "QueueUrl": f"{origin}/{queue.account}/{queue.resource}",
        "MessageBody": text,
        "MessageAttributes": written,
        **_order(settings, queue, attempt, view),
    }
    return _aws_action(settings, queue, "AmazonSQS.SendMessage", "1.0", body)


def sns_request(
    delivery: Delivery, settings: Settings, topic: AwsBus, attempt: Attempt, view: JsonObject
) -> OutgoingRequest:
    """Raises Permanent."""
    text, attributes = _aws_message(delivery, settings, attempt, view, MAX_SNS_BYTES, "SNS")
    form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic.arn, "Message": text}
    for number, (name, value) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": _STRING, f"{entry}.Value.StringValue": value}
    form |= _order(settings, topic, attempt, view)
    headers = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)
    url = f"{settings.api_url or topic.origin}/"
    content = urlencode(form).encode()
    return OutgoingRequest("POST", url, headers, content, _aws_auth(settings, topic), settings.allow_private)


def eventbridge_request(
    delivery: Delivery, settings: Settings, bus: AwsBus, attempt: Attempt, view: JsonObject
) -> OutgoingRequest:
    """Raises Permanent. A URN in `Resources` carries the delivery's id: an event has no other attributes."""
    event = delivery.event
    source = rendered_line("source", settings.source or "{{ source }}", view)[:MAX_SOURCE]
    detail_type = rendered_line("detail_type", settings.detail_type or "{{ type }}", view)[:MAX_DETAIL_TYPE]
    if not source or not detail_type or source.lower().startswith("aws."):
        rule = "source and detail_type: must not be empty, and a source must not begin with `aws.`, which is AWS's own"
        raise Permanent("template_failed", rule)
    detail = json_body(_detail(event, settings)).decode()
    resources = [f"urn:hookchain:delivery:{attempt.idempotency_key}", f"urn:hookchain:hops:{event.hops + 1}"]
    size = 14 + sum(len(text.encode()) for text in (source, detail_type, detail, *resources))
    verify_size(size, MAX_AWS_BYTES, "EventBridge")
    entry: JsonObject = {
        "EventBusName": bus.arn,
        "Source": source,
        "DetailType": detail_type,
        "Detail": detail,
        "Resources": [*resources],
        "Time": _time(event),
    }
    return _aws_action(settings, bus, "AWSEvents.PutEvents", "1.1", {"Entries": [entry]})


def _detail(event: Event, settings: Settings) -> Json:
    """Return an object: EventBridge takes nothing else."""
    if settings.format == "cloudevents":
        return public_cloudevent(event)
    return event.data if isinstance(event.data, dict) else {"data": event.data}


def _time(event: Event) -> int:
    """Return the event's time, or when it was received: a sender's time may be any, and AWS takes none before 1970."""
    for text in (event.time, event.receivedat):
        if text is not None and (seconds := int(unix_seconds(text))) > 0:
            return seconds
    return 0


def _aws_message(
    delivery: Delivery, settings: Settings, attempt: Attempt, view: JsonObject, limit: int, service: str
) -> tuple[str, dict[str, str]]:
    text = xml_safe(text_of(delivery, settings))
    found = attributes_of(delivery, settings, attempt, view)
    attributes = {name: xml_safe(value) for name, value in found.items()}
    verify_size(size_of(text, attributes, len(_STRING)), limit, service)
    return text, attributes


def _order(settings: Settings, bus: AwsBus, attempt: Attempt, view: JsonObject) -> dict[str, str]:
    """Return the group, and in FIFO the id by which AWS drops a repeat that comes within five minutes."""
    group = rendered_line("group", settings.group, view) if settings.group else ""
    found = {"MessageGroupId": bounded_key(group, _GROUP)} if group else {}
    if bus.is_fifo:
        # Without a group, a message waits for no other.
        found = {"MessageGroupId": attempt.idempotency_key, **found, "MessageDeduplicationId": attempt.idempotency_key}
    return found


def _aws_action(settings: Settings, bus: AwsBus, action: str, version: str, body: JsonObject) -> OutgoingRequest:
    headers = (("content-type", f"application/x-amz-json-{version}"), ("x-amz-target", action))
    url = f"{settings.api_url or bus.origin}/"
    return OutgoingRequest("POST", url, headers, json_body(body), _aws_auth(settings, bus), settings.allow_private)


def _aws_auth(settings: Settings, bus: AwsBus) -> tuple[AnyRequestAuth, ...]:
    keys = {"access_key_id": settings.access_key_id, "secret": settings.secret}
    return (AwsRequestAuth(scheme="aws", service=bus.service, region=bus.region, **keys),)
