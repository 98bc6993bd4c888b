"""The settings of the destination `bus`, and the buses that they name."""

import re
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from functions.notify.kind_settings import KindSettings, LineTemplate, ServerAddress
from shared.config.rules import SecretName

Service = Literal["pubsub", "sns", "sqs", "eventbridge"]

SERVICES: Final[tuple[Service, ...]] = ("pubsub", "sns", "sqs", "eventbridge")
FIFO: Final = ".fifo"
MAX_OWN_ATTRIBUTES: Final = 2
"""SNS and SQS deliver 10 attributes with a message, of which eight are Hookchain's."""

_TOPIC: Final = re.compile(r"projects/([a-z][a-z0-9:.-]{4,60}[a-z0-9])/topics/([A-Za-z][A-Za-z0-9._~+%-]{2,254})")
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):(sns|sqs|events):([a-z0-9-]{1,40}):(\d{12}):([A-Za-z0-9._/-]{1,300})")
_QUEUE_URL: Final = re.compile(
    r"https://sqs\.([a-z0-9-]{1,40})\.amazonaws\.com(\.cn)?/(\d{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)"
)
_ARN_NAMES: Final = {
    "sns": re.compile(r"[A-Za-z0-9_-]{1,256}(\.fifo)?"),
    "sqs": re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?"),
    "events": re.compile(r"event-bus/[A-Za-z0-9._/-]{1,256}"),
}
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_OWN_NAMES: Final = re.compile(r"(ce-|hookchain-|goog|aws|amazon|content-type$)", re.IGNORECASE)


class GoogleTopic(NamedTuple):
    """A topic of Pub/Sub. `path` is `projects/P/topics/T`."""

    project: str
    path: str


class AwsBus(NamedTuple):
    """A topic, a queue or an event bus on AWS. `resource` is the end of its ARN."""

    service: Literal["sns", "sqs", "events"]
    region: str
    account: str
    resource: str
    partition: str

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def origin(self) -> str:
        """Return the URL of the service in the region."""
        suffix = ".cn" if self.partition == "aws-cn" else ""
        return f"https://{self.service}.{self.region}.amazonaws.com{suffix}"

    @property
    def is_fifo(self) -> bool:
        return self.service != "events" and self.resource.endswith(FIFO)


@lru_cache(maxsize=1_000)
def google_topic(text: str) -> GoogleTopic:
    """Raises ValueError."""
    topic = _TOPIC.fullmatch(text)
    if topic is None or topic[2].lower().startswith("goog"):
        raise ValueError("must be the full name of a topic: projects/PROJECT/topics/TOPIC")
    return GoogleTopic(topic[1], text)


@lru_cache(maxsize=1_000)
def aws_bus(text: str) -> AwsBus:
    """Return the bus of an ARN or of a queue's URL. Raises ValueError."""
    if url := _QUEUE_URL.fullmatch(text):
        return AwsBus("sqs", url[1], url[3], url[4], "aws-cn" if url[2] else _partition(url[1]))
    arn = _ARN.fullmatch(text)
    if arn is not None:
        for service in ("sns", "sqs", "events"):
            if service == arn[2] and _ARN_NAMES[service].fullmatch(arn[5]):
                return AwsBus(service, arn[3], arn[4], arn[5], arn[1])
    raise ValueError("must be an ARN, such as arn:aws:sns:eu-central-1:123456789012:orders")


def _partition(region: str) -> str:
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _verified(text: str, service: str, rule: str) -> str:
    if aws_bus(text).service != service:
        raise ValueError(rule)
    return text


def _topic(text: str) -> str:
    google_topic(text)
    return text


def _sns(text: str) -> str:
    return _verified(text, "sns", "must be a topic's ARN, such as arn:aws:sns:eu-central-1:123456789012:orders")


def _sqs(text: str) -> str:
    return _verified(text, "sqs", "must be a queue's URL or ARN")


def _events(text: str) -> str:
    rule = "must be an event bus's ARN, such as arn:aws:events:eu-central-1:123456789012:event-bus/default"
    return _verified(text, "events", rule)


class Settings(KindSettings):
    """A message on another bus: Pub/Sub, Amazon SNS, SQS or EventBridge.

    pubsub          a topic: projects/PROJECT/topics/TOPIC
    sns             a topic's ARN
    sqs             a queue's URL or ARN
    eventbridge     an event bus's ARN
    format          `data` sends the event's data, and what else is known of it as attributes; `cloudevents` sends the
                    whole event as JSON
    attributes      further attributes of the message: templates by name. SNS and SQS take two
    ordering_key    Pub/Sub: a template; messages with the same key stay in their order
    location        Pub/Sub: publish in this region, such as `europe-west1`; an order holds only for one region
    group           SNS and SQS: a template; in FIFO topics and queues, messages of a group stay in their order
    source          EventBridge: a template for its `source`; the name of the event's source
    detail_type     EventBridge: a template for its `detail-type`; the event's type. It is cut after 128 characters
    secret          a service account's key (JSON), or the secret part of `access_key_id`. Without it, this deployment's
                    own account or role publishes
    access_key_id   the id of the access key on AWS, which belongs to `secret`
    api_url         another server with the same API, such as an emulator
    allow_private   allow a server at a private address, and plain http
    """

    extras: ClassVar[tuple[str, ...]] = ("crypto",)  # a service account's key signs by RSA

    pubsub: Annotated[str, AfterValidator(_topic)] | None = None
    sns: Annotated[str, AfterValidator(_sns)] | None = None
    sqs: Annotated[str, AfterValidator(_sqs)] | None = None
    eventbridge: Annotated[str, AfterValidator(_events)] | None = None
    format: Literal["data", "cloudevents"] = "data"
    attributes: dict[str, LineTemplate] = Field(default_factory=dict, max_length=20)
    ordering_key: LineTemplate | None = None
    location: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    group: LineTemplate | None = None
    source: LineTemplate | None = None
    detail_type: LineTemplate | None = None
    secret: SecretName | None = None
    access_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{16,128}$")] | None = None
    api_url: ServerAddress | None = None
    allow_private: bool = False

    @property
    def service(self) -> Service:
        return next(name for name in SERVICES if getattr(self, name) is not None)

    @property
    def target(self) -> GoogleTopic | AwsBus:
        if self.pubsub is not None:
            return google_topic(self.pubsub)
        return aws_bus(self.sns or self.sqs or self.eventbridge or "")

    @model_validator(mode="after")
    def _one_bus(self) -> Self:
        buses = [name for name in SERVICES if getattr(self, name) is not None]
        if len(buses) != 1:
            raise ValueError(f"must name one of `pubsub`, `sns`, `sqs` and `eventbridge`; got {len(buses)}")
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        service = self.service
        for name, services in _ONLY_FOR.items():
            if getattr(self, name) is not None and service not in services:
                raise ValueError(f"{name}: has no effect on {service}; take it out")
        if service != "pubsub" and (self.access_key_id is None) != (self.secret is None):
            raise ValueError("access_key_id and secret belong together; without both, the deployment's role publishes")
        return self

    @model_validator(mode="after")
    def _attributes_fit(self) -> Self:
        for name in self.attributes:
            if not _ATTRIBUTE_NAME.fullmatch(name) or _OWN_NAMES.match(name):
                rule = "must be letters, digits, `-` and `_`, and not begin with ce-, hookchain-, goog, aws or amazon"
                raise ValueError(f"attributes: a name {rule}; got {name!r}")
        if self.service == "eventbridge" and self.attributes:
            raise ValueError("attributes: EventBridge has none; add a field to the data with the route's steps")
        if self.service in ("sns", "sqs") and len(self.attributes) > MAX_OWN_ATTRIBUTES:
            raise ValueError(f"attributes: SNS and SQS take {MAX_OWN_ATTRIBUTES} beside Hookchain's own eight")
        return self


_ONLY_FOR: Final[dict[str, tuple[Service, ...]]] = {
    "ordering_key": ("pubsub",),
    "location": ("pubsub",),
    "group": ("sns", "sqs"),
    "source": ("eventbridge",),
    "detail_type": ("eventbridge",),
    "access_key_id": ("sns", "sqs", "eventbridge"),
}
