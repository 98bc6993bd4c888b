"""The message that a bus carries: its text, and the attributes that say what it is.

The names of the attributes are those of the CloudEvents binding for Pub/Sub, in its binary mode.
https://github.com/googleapis/google-cloudevents/blob/main/docs/spec/pubsub.md
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from functions.notify.destination import Attempt
from functions.notify.destinations.bus.settings import Settings
from functions.notify.event_content import public_cloudevent
from functions.notify.http_kind import json_body, rendered_line
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.jsontext import JsonObject

DELIVERY_ID: Final = "hookchain-delivery-id"
HOPS: Final = "hookchain-hops"
CONTENT_TYPE: Final = "content-type"
STRUCTURED: Final = "application/cloudevents+json"
SMALL: Final = ("specversion", "id", "source", "type", "time", "subject")
"""The attributes of a CloudEvent that SNS and SQS get, which take ten attributes in all."""
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 does not have, and therefore neither SQS nor SNS."""


def text_of(delivery: Delivery, settings: Settings) -> str:
    """Return the text of the message. A document that a step left as text stays as it is; all else is JSON."""
    event = delivery.event
    if settings.format == "cloudevents":
        return json_body(public_cloudevent(event)).decode()
    if isinstance(event.data, str) and event.data and event.datatype:
        return event.data.encode("utf-8", "replace").decode()
    return json_body(event.data).decode()


def content_type_of(delivery: Delivery, settings: Settings) -> str:
    if settings.format == "cloudevents":
        return STRUCTURED
    event = delivery.event
    return (event.datatype if isinstance(event.data, str) and event.data else None) or "application/json"


def attributes_of(delivery: Delivery, settings: Settings, attempt: Attempt, view: JsonObject) -> dict[str, str]:
    """Return the attributes of the message, without the ones that have no text. Raises Permanent."""
    event = delivery.event
    own = {name: rendered_line(f"attributes.{name}", text, view) for name, text in settings.attributes.items()}
    fixed = {DELIVERY_ID: attempt.idempotency_key, HOPS: str(event.hops + 1)}
    if settings.format == "data" or settings.service != "pubsub":
        document = public_cloudevent(replace(event, data=None, dataref=None))
        for name in ("data", "datacontenttype", "hops"):
            document.pop(name, None)
        names = SMALL if settings.service != "pubsub" else tuple(document)
        fixed |= {f"ce-{name}": str(document[name]) for name in names if name in document}
    if settings.service == "pubsub":
        fixed[CONTENT_TYPE] = content_type_of(delivery, settings)
    return {name: text.encode("utf-8", "replace").decode() for name, text in {**own, **fixed}.items() if text}


def xml_safe(text: str) -> str:
    """Return the text with a mark in place of each character that SNS and SQS reject."""
    return _UNFIT.sub("\ufffd", text)


def bounded_key(text: str, pattern: re.Pattern[str]) -> str:
    """Return the key, or its hash where the bus does not take it, so that two keys stay two."""
    return text if pattern.fullmatch(text) else sha256(text.encode("utf-8", "replace")).hexdigest()


def verify_size(size: int, limit: int, bus: str) -> None:
    """Raises Permanent (`output_too_large`)."""
    if size > limit:
        reason = f"the message has {size:,} bytes with its attributes; {bus} takes {limit:,}. Drop data with a step"
        raise Permanent("output_too_large", reason)


def size_of(text: str, attributes: Mapping[str, str], each: int = 0) -> int:
    """Return the bytes of the text and its attributes; `each` are those that the bus counts beside an attribute."""
    total = len(text.encode())
    return total + sum(len(name.encode()) + len(value.encode()) + each for name, value in attributes.items())
