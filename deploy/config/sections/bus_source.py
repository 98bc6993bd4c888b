"""A source whose events come from another system's bus instead of HTTP: its model, and the settings that receive gets.

sources:
  orders: {bus: {pubsub: orders}}          # the messages of a topic
  files: {bus: {bucket: my-uploads, events: [finalize, delete]}}
"""

import hashlib
import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from deploy.config.sections.texts import fitting
from shared.config.rules import listed
from shared.config.values import Model, VerbatimObject
from shared.jsontext import JsonObject

BusKind: TypeAlias = Literal["pubsub", "bucket", "sqs", "eventbridge"]
ObjectEvent: TypeAlias = Literal["finalize", "delete", "archive", "metadata_update"]

BUS_KINDS: Final[tuple[BusKind, ...]] = ("pubsub", "bucket", "sqs", "eventbridge")
_TOPIC: Final = re.compile(
    r"(projects/[a-z][a-z0-9:.-]{4,60}[a-z0-9]/topics/)?(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
)
"""Such as `orders` or `projects/my-project/topics/orders`. Pub/Sub reserves names that begin with `goog`."""
_TOPIC_RULE: Final = "a topic's name, or projects/PROJECT/topics/TOPIC, whose project has at least 6 characters"
_QUEUE: Final = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]{1,40}:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_EVENT_BUS: Final = re.compile(r"(arn:aws[a-z-]*:events:[a-z0-9-]{1,40}:\d{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}")
MAX_PATTERN_CHARACTERS: Final = 2_048


class BusSourceConfig(Model):
    """The bus that a source's messages come from.

    pubsub       Google Cloud: a topic of this project, or projects/PROJECT/topics/TOPIC
    bucket       a bucket of Cloud Storage, or of S3: what happens to its objects
    events       with `bucket`: finalize (an object is complete), delete, archive, metadata_update
    prefix       with `bucket`: only objects whose names begin so
    sqs          AWS: a queue's ARN; of a FIFO queue too, but events keep no order
    eventbridge  AWS: a pattern, as a rule of EventBridge has it
    event_bus    with `eventbridge`: the name or the ARN of the event bus
    """

    pubsub: Annotated[str, fitting(_TOPIC, _TOPIC_RULE)] | None = None
    bucket: Annotated[str, fitting(_BUCKET, "a bucket's name, without gs:// or s3://")] | None = None
    events: Annotated[list[ObjectEvent], BeforeValidator(listed), Field(min_length=1)] = Field(default=["finalize"])
    prefix: Annotated[str, Field(min_length=1, max_length=1_024)] | None = None
    sqs: (
        Annotated[str, fitting(_QUEUE, "a queue's ARN, such as arn:aws:sqs:eu-central-1:123456789012:orders")] | None
    ) = None
    eventbridge: Annotated[VerbatimObject, Field(min_length=1)] | None = None
    event_bus: Annotated[str, fitting(_EVENT_BUS, "an event bus's name or ARN")] | None = None

    @property
    def kind(self) -> BusKind:
        return next(each for each in BUS_KINDS if getattr(self, each) is not None)

    @model_validator(mode="after")
    def _one_bus(self) -> "BusSourceConfig":
        named = [each for each in BUS_KINDS if getattr(self, each) is not None]
        if len(named) != 1:
            raise ValueError(f"must name one of {', '.join(f'`{each}`' for each in BUS_KINDS)}; got {len(named)}")
        for key, kind in (("events", "bucket"), ("prefix", "bucket"), ("event_bus", "eventbridge")):
            if key in self.model_fields_set and named != [kind]:
                raise ValueError(f"{key}: has an effect with `{kind}` only; take it out")
        return self

    @model_validator(mode="after")
    def _pattern_is_valid(self) -> "BusSourceConfig":
        """Verify the rule of EventBridge that the values of a pattern are lists or objects."""
        if self.eventbridge is not None:
            _verify_pattern(self.eventbridge)
            if len(str(self.eventbridge)) > MAX_PATTERN_CHARACTERS:
                raise ValueError(f"eventbridge: a pattern has at most {MAX_PATTERN_CHARACTERS:,} characters")
        return self


def _verify_pattern(pattern: VerbatimObject) -> None:
    for name, value in pattern.items():
        if isinstance(value, dict) and value:
            _verify_pattern(value)
        elif not isinstance(value, list) or not value:
            raise ValueError(
                f"eventbridge: {name!r} must be a list of values, or an object; for example [order.created]"
            )


PREFIX: Final = "bus-"
"""The beginning of the names of resources for sources. The deployment's own prefix stands before it."""
_PLAIN_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_PLAIN_CHARACTERS: Final = 40
"""SQS accepts names of 80 characters, and the deployment's prefix may take 29 of them."""

_MESSAGE_FIELDS: Final[JsonObject] = {
    "type": ["header.ce-type"],
    "id": ["header.bus-message-id"],
    "subject": ["header.ce-subject"],
    "time": ["header.ce-time"],
}
"""receive gives a message's attributes to the source as headers, in which a sender can describe a CloudEvent."""
_EVENT_FIELDS: Final[dict[BusKind, JsonObject]] = {
    "pubsub": _MESSAGE_FIELDS,
    "sqs": _MESSAGE_FIELDS,
    "eventbridge": {"body": "json", "type": ["data.detail-type"], "id": ["data.id"], "time": ["data.time"]},
    "bucket": {
        "body": "json",
        "type": ["data.event"],
        "id": ["header.bus-event-id"],
        "subject": ["data.name"],
        "time": ["data.time"],
    },
}
"""The places of an event's type, id, subject and time in the messages of each bus. A source can name other places."""


def resource_name(source: str) -> str:
    """Return the name of the subscription, the topic or the queue that a deployment makes for the source.

    `orders` gives `bus-orders`. A name that resources cannot have gets a hash, so that no two sources share a resource:
    `Orders_EU` gives `bus-orders-eu-` and 8 hex digits.
    """
    if _PLAIN_NAME.fullmatch(source) and len(source) <= _MAX_PLAIN_CHARACTERS:
        return f"{PREFIX}{source}"
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    plain = "-".join(re.findall(r"[a-z0-9]+", source.lower()))[: _MAX_PLAIN_CHARACTERS - len("-") - len(digest)]
    return f"{PREFIX}{plain.strip('-')}-{digest}"


def bus_part(name: str, bus: BusSourceConfig) -> JsonObject:
    """Return the settings of the source that follow from its bus."""
    settings: JsonObject = bus.model_dump(mode="json", exclude_none=True)
    if bus.kind != "bucket":
        del settings["events"]  # the model has a default for every bus, but only a bucket uses it
    return {
        "auth": [],  # no scheme, so that no HTTP request is accepted
        **_EVENT_FIELDS[bus.kind],
        "bus": {"kind": bus.kind, "name": resource_name(name), **settings},
    }
