"""The part of receive's slice about a source whose events come from a bus."""

import hashlib
import re
from typing import Final

from deploy.config.models.bus_source import BusKind, BusSourceConfig
from shared.jsontext import JsonObject

PREFIX: Final = "bus-"
"""The beginning of the names of what is made for sources, after the deployment's own."""
_PLAIN: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_PLAIN: Final = 40
"""SQS takes names of 80 characters, of which the deployment's prefix may have 29."""

_FACTS: Final[dict[BusKind, JsonObject]] = {
    "pubsub": {
        "type": ["header.ce-type"],
        "id": ["header.bus-message-id"],
        "subject": ["header.ce-subject"],
        "time": ["header.ce-time"],
    },
    "sqs": {
        "type": ["header.ce-type"],
        "id": ["header.bus-message-id"],
        "subject": ["header.ce-subject"],
        "time": ["header.ce-time"],
    },
    "eventbridge": {"body": "json", "type": ["data.detail-type"], "id": ["data.id"], "time": ["data.time"]},
    "bucket": {
        "body": "json",
        "type": ["data.event"],
        "id": ["header.bus-event-id"],
        "subject": ["data.name"],
        "time": ["data.time"],
    },
}
"""What each bus says of an event, unless the source says otherwise."""


def resource_name(source: str) -> str:
    """Return the name of the subscription, the topic or the queue that a deployment makes for the source.

    Not every name of a source can be a part of one, and two sources never share one.
    """
    if _PLAIN.fullmatch(source) and len(source) <= _MAX_PLAIN:
        return f"{PREFIX}{source}"
    plain = "-".join(re.findall(r"[a-z0-9]+", source.lower()))[: _MAX_PLAIN - 9].strip("-")
    return f"{PREFIX}{plain}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def bus_part(name: str, bus: BusSourceConfig) -> JsonObject:
    """Return the settings of the source that follow from its bus. No scheme of `auth` lets a request in."""
    written: JsonObject = bus.model_dump(mode="json", exclude_none=True)
    if bus.kind != "bucket":
        del written["events"]
    return {
        "auth": [],
        **_FACTS[bus.kind],
        "bus": {"kind": bus.kind, "name": resource_name(name), **written},
    }
