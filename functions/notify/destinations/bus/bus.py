"""The destination `bus`: a message on Pub/Sub, Amazon SNS, SQS or EventBridge.

A message may arrive twice: the buses themselves promise no more than "at least once". Each carries the delivery's id,
by which its consumer can tell. FIFO topics and queues drop a repeat within five minutes by themselves, which is too
short for the waits between attempts, so this kind does not count as one that recognises repeats.
"""

import re
from types import MappingProxyType
from typing import Final

from functions.notify.destination import Attempt
from functions.notify.destinations.bus.requests import (
    eventbridge_request,
    pubsub_request,
    sns_request,
    sqs_request,
)
from functions.notify.destinations.bus.settings import GoogleTopic, Settings
from functions.notify.http_examples import KEY
from functions.notify.http_kind import (
    HttpExample,
    OutgoingRequest,
    Response,
    SecretValues,
    held,
    outcome_by_status,
    template_view,
)
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.jsontext import Json

__all__ = ["EXAMPLES", "Settings", "outcome", "request"]

_ATTRIBUTES: Final = {
    "hookchain-delivery-id": KEY,
    "hookchain-hops": "1",
    "ce-specversion": "1.0",
    "ce-id": "e1",
    "ce-source": "/sources/shop",
    "ce-type": "order.created",
}
EXAMPLES: Final = (
    HttpExample(
        settings={"pubsub": "projects/example-project/topics/orders", "ordering_key": "{{ data.customer }}"},
        data={"customer": "c7", "total": 12},
        url="https://pubsub.googleapis.com/v1/projects/example-project/topics/orders:publish",
        body={
            "messages": [
                {
                    "data": "eyJjdXN0b21lciI6ImM3IiwidG90YWwiOjEyfQ==",
                    "attributes": {
                        **_ATTRIBUTES,
                        "ce-receivedat": "2026-03-01T12:00:05.000Z",
                        "ce-payloadhash": "0" * 64,
                        "ce-subject": "1042",
                        "ce-time": "2026-03-01T12:00:04Z",
                        "content-type": "application/json",
                    },
                    "orderingKey": "c7",
                }
            ]
        },
    ),
    HttpExample(
        settings={
            "sqs": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo",
            "group": "{{ data.customer }}",
        },
        data={"customer": "c7", "total": 12},
        url="https://sqs.eu-central-1.amazonaws.com/",
        headers={"x-amz-target": "AmazonSQS.SendMessage", "content-type": "application/x-amz-json-1.0"},
        body={
            "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo",
            "MessageBody": '{"customer":"c7","total":12}',
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in {**_ATTRIBUTES, "ce-time": "2026-03-01T12:00:04Z", "ce-subject": "1042"}.items()
            },
            "MessageGroupId": "c7",
            "MessageDeduplicationId": KEY,
        },
    ),
    HttpExample(
        settings={
            "eventbridge": "arn:aws:events:eu-central-1:123456789012:event-bus/orders",
            "source": "com.example.{{ source }}",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret": "aws-key",
        },
        data={"total": 12},
        secrets={"aws-key": "wJalrXUtnFEMI"},
        url="https://events.eu-central-1.amazonaws.com/",
        headers={"x-amz-target": "AWSEvents.PutEvents"},
        body={
            "Entries": [
                {
                    "EventBusName": "arn:aws:events:eu-central-1:123456789012:event-bus/orders",
                    "Source": "com.example.shop",
                    "DetailType": "order.created",
                    "Detail": '{"total":12}',
                    "Resources": [f"urn:hookchain:delivery:{KEY}", "urn:hookchain:hops:1"],
                    "Time": 1772366404,
                }
            ]
        },
    ),
)

_XML_CODE: Final = re.compile(rb"<Code>([A-Za-z.]{1,100})</Code>")
_RETRIED: Final = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|LimitExceeded|Internal|ServiceUnavailable|ExpiredToken"
    r"|RequestExpired|TimeTooSkewed"
)
"""In the name of an error that passes. `ExpiredToken`: Lambda renews the keys of a role."""
_HELD: Final = re.compile(
    r"AccessDenied|AuthorizationError|NotAuthorized|InvalidClientTokenId|UnrecognizedClient|Signature|MissingAuth"
    r"|InvalidSecurity|OptInRequired|KMS|Kms|NotFound|NonExistentQueue|QueueDoesNotExist|InvalidAddress"
    r"|InvalidAccountId"
)
"""In the name of an error that is about the bus, its key or a right."""
_SKEWED: Final = re.compile(rb"Signature (expired|not yet current)")
"""In what AWS says of a right signature that a clock, or a process that was frozen meanwhile, has made old."""
_TOPIC_STATE: Final = "FAILED_PRECONDITION"
"""The status of Pub/Sub's error about a topic, such as one whose key is disabled, and about no message."""


def request(delivery: Delivery, settings: Settings, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:  # noqa: ARG001 the interface
    """Raises Permanent."""
    view, target = template_view(delivery), settings.target
    if isinstance(target, GoogleTopic):
        return pubsub_request(delivery, settings, target, attempt, view)
    return _AWS[target.service](delivery, settings, target, attempt, view)


_AWS: Final = MappingProxyType({"sns": sns_request, "sqs": sqs_request, "events": eventbridge_request})


def outcome(response: Response) -> Outcome:
    """Return the outcome. Which bus answered, the answer itself says."""
    document = response.json()
    if response.status == 200 and isinstance(document, dict) and document.get("FailedEntryCount"):
        return _by_error(response, _entry_error(document.get("Entries")))
    if error := _error_name(response, document):
        return _by_error(response, error)
    if response.status in {401, 403, 404} or _google_status(document) == _TOPIC_STATE:
        return held(response, "the bus", _ACT)
    if 200 <= response.status < 300:
        return Delivered(response.excerpt) if _is_receipt(response, document) else RetryLater(_NO_RECEIPT)
    return outcome_by_status(response, "the bus", failed={400, 413})


_ACT: Final = (
    "correct its name and region, and allow the account or role to publish; deploy/README.md, "
    '"Rights that a destination needs", says how'
)
_NO_RECEIPT: Final = "the answer is not that of a bus: it names no message that was accepted"


def _by_error(response: Response, error: str) -> Outcome:
    """Return the outcome by the name of AWS's error, which also a 200 of EventBridge may hold."""
    if response.status >= 500 or _RETRIED.search(error) or _SKEWED.search(response.body):
        return RetryLater(f"the bus answered {error}", response.retry_after_seconds, response.excerpt)
    if _HELD.search(error):
        return held(response, "the bus", f"{error}: {_ACT}")
    return Failed("request_rejected", f"the bus rejects the message: {error}", response.excerpt)


def _error_name(response: Response, document: Json) -> str:
    """Return the name of AWS's error, such as `AccessDeniedException`; empty for an answer without one."""
    if response.status < 400:
        return ""
    if found := _XML_CODE.search(response.body):
        return found[1].decode()
    named = document.get("__type") if isinstance(document, dict) else None
    return named.rpartition("#")[2][:100] if isinstance(named, str) else ""


def _google_status(document: Json) -> Json:
    error = document.get("error") if isinstance(document, dict) else None
    return error.get("status") if isinstance(error, dict) else None


def _entry_error(entries: Json) -> str:
    first = entries[0] if isinstance(entries, list) and entries else None
    code = first.get("ErrorCode") if isinstance(first, dict) else None
    return code[:100] if isinstance(code, str) and code else "InternalFailure"


def _is_receipt(response: Response, document: Json) -> bool:
    """Return whether the answer names the message. A proxy or a captive page may answer 200 to anything."""
    if isinstance(document, dict):
        entries = document.get("Entries")
        first = entries[0] if isinstance(entries, list) and entries else None
        is_event = isinstance(first, dict) and bool(first.get("EventId"))
        return is_event or bool(document.get("messageIds") or document.get("MessageId"))
    return b"<MessageId>" in response.body
