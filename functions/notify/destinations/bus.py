"""The destination `bus`: a message on Pub/Sub, Amazon SNS, SQS or EventBridge.

A message may arrive twice, because the buses themselves only promise "at least once". It has the delivery's id, by
which its consumer can recognise a repeat. FIFO topics and queues drop a repeat within five minutes, which is too short
for the waits between attempts. So this kind does not count as one that recognises repeats.

The names of the attributes are those of the CloudEvents binding for Pub/Sub, in its binary mode.
https://github.com/googleapis/google-cloudevents/blob/main/docs/spec/pubsub.md
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, model_validator

from functions.notify import http_kind
from functions.notify.destination import Attempt
from functions.notify.kind_settings import KindSettings, LineTemplate, ServerAddress, checked_by
from shared import errors, times
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.event import Event
from shared.jsontext import Json, JsonObject, base64_text
from shared.outgoing.auth import AnyRequestAuth, AwsRequestAuth, GoogleOAuthRequestAuth

Service = Literal["pubsub", "sns", "sqs", "eventbridge"]
SERVICES: Final[tuple[Service, ...]] = ("pubsub", "sns", "sqs", "eventbridge")
FIFO: Final = ".fifo"
MAX_FURTHER_ATTRIBUTES: Final = 2
"""SNS and SQS deliver 10 attributes with a message, of which eight are Hookchain's."""

_TOPIC: Final = re.compile(r"projects/([a-z][a-z0-9:.-]{4,60}[a-z0-9])/topics/([A-Za-z][A-Za-z0-9._~+%-]{2,254})")
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):(sns|sqs|events):([a-z0-9-]{1,40}):(\d{12}):([A-Za-z0-9._/-]{1,300})")
"""Partition, service, region, account and resource. `events` is EventBridge."""
_QUEUE_URL: Final = re.compile(
    r"https://sqs\.([a-z0-9-]{1,40})\.amazonaws\.com(\.cn)?/(\d{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)"
)
_ARN_NAMES: Final = {
    "sns": re.compile(r"[A-Za-z0-9_-]{1,256}(\.fifo)?"),
    "sqs": re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?"),
    "events": re.compile(r"event-bus/[A-Za-z0-9._/-]{1,256}"),
}
"""The resource in the ARN of each service."""
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_RESERVED_NAMES: Final = re.compile(r"(ce-|hookchain-|goog|aws|amazon|content-type$)", re.IGNORECASE)
# The settings that only some services have.
_SERVICES_OF_SETTING: Final[dict[str, tuple[Service, ...]]] = {
    "ordering_key": ("pubsub",),
    "location": ("pubsub",),
    "group": ("sns", "sqs"),
    "source": ("eventbridge",),
    "detail_type": ("eventbridge",),
    "access_key_id": ("sns", "sqs", "eventbridge"),
}

# The attributes of a message.
DELIVERY_ID: Final = "hookchain-delivery-id"
HOPS: Final = "hookchain-hops"
CONTENT_TYPE: Final = "content-type"
STRUCTURED: Final = "application/cloudevents+json"
SMALL: Final = ("specversion", "id", "source", "type", "time", "subject")
"""The attributes of a CloudEvent that SNS and SQS get, which take ten attributes in all."""
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 does not have, and therefore neither SQS nor SNS."""

# What the buses take.
PUBSUB: Final = "https://pubsub.googleapis.com"
PUBSUB_SCOPE: Final = "https://www.googleapis.com/auth/pubsub"
MAX_PUBSUB_BYTES: Final = 10_000_000
MAX_PUBSUB_VALUE_BYTES: Final = 1_024
MAX_SNS_BYTES: Final = 262_144
MAX_AWS_BYTES: Final = 1_048_576
"""SQS's limit, and EventBridge's."""
MAX_DETAIL_TYPE: Final = 128
MAX_SOURCE: Final = 256
"""The longest `detail-type` and `source` of an event on EventBridge, in characters."""
TIME_BYTES: Final = 14
"""What EventBridge counts for an entry's time.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html"""
_ORDERING_KEY: Final = re.compile(r"[\x20-\x7e]{0,1024}")
_GROUP: Final = re.compile(r"[!-~]{1,128}")
_STRING: Final = "String"
"""The type of each attribute on SNS and SQS. They count it as a part of the message."""

# What the buses answer.
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
"""The status of a Pub/Sub error that concerns the topic, for example because its key is disabled, and not the
message."""

_ACT: Final = "correct its name and region, and allow the account or role to publish, as deploy/docs/rights.md says"
_NO_RECEIPT: Final = "the answer is not that of a bus: it names no message that was accepted"


class GoogleTopic(NamedTuple):
    """A topic of Pub/Sub. `path` is `projects/P/topics/T`."""

    project: str
    path: str


class AwsBus(NamedTuple):
    """A topic, a queue or an event bus on AWS, by the parts of its ARN. There, EventBridge has the name `events`."""

    arn_service: str
    region: str
    account: str
    resource: str
    partition: str

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:{self.arn_service}:{self.region}:{self.account}:{self.resource}"

    @property
    def origin(self) -> str:
        """Return the URL of the service in the region."""
        suffix = ".cn" if self.partition == "aws-cn" else ""
        return f"https://{self.arn_service}.{self.region}.amazonaws.com{suffix}"

    @property
    def is_fifo(self) -> bool:
        return self.arn_service != "events" and self.resource.endswith(FIFO)


@lru_cache(maxsize=1_000)
def google_topic(text: str) -> GoogleTopic:
    """Return the topic of a full name. Raises ValueError."""
    topic = _TOPIC.fullmatch(text)
    if topic is None or topic[2].lower().startswith("goog"):
        raise ValueError("must be the full name of a topic: projects/PROJECT/topics/TOPIC")
    return GoogleTopic(topic[1], text)


@lru_cache(maxsize=1_000)
def aws_bus(text: str) -> AwsBus:
    """Return the bus of an ARN or of a queue's URL. Raises ValueError."""
    if url := _QUEUE_URL.fullmatch(text):
        partition = "aws-us-gov" if url[1].startswith("us-gov-") else "aws"
        if url[2]:
            partition = "aws-cn"
        return AwsBus("sqs", region=url[1], account=url[3], resource=url[4], partition=partition)
    arn = _ARN.fullmatch(text)
    if arn and _ARN_NAMES[arn[2]].fullmatch(arn[5]):
        return AwsBus(arn[2], region=arn[3], account=arn[4], resource=arn[5], partition=arn[1])
    raise ValueError("must be an ARN, such as arn:aws:sns:eu-central-1:123456789012:orders")


def _is_of(arn_service: str, rule: str) -> AfterValidator:
    """Return the validator of the name of a bus of that service. `rule` is its error."""

    def verify(text: str) -> None:
        if aws_bus(text).arn_service != arn_service:
            raise ValueError(rule)

    return checked_by(verify)


_SNS_TOPIC: Final = _is_of("sns", "must be a topic's ARN, such as arn:aws:sns:eu-central-1:123456789012:orders")
_QUEUE: Final = _is_of("sqs", "must be a queue's URL or ARN")
_EVENT_BUS: Final = _is_of(
    "events", "must be an event bus's ARN, such as arn:aws:events:eu-central-1:123456789012:event-bus/default"
)


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

    pubsub: Annotated[str, checked_by(google_topic)] | None = None
    sns: Annotated[str, _SNS_TOPIC] | None = None
    sqs: Annotated[str, _QUEUE] | None = None
    eventbridge: Annotated[str, _EVENT_BUS] | None = None
    format: Literal["data", "cloudevents"] = "data"
    attributes: dict[str, LineTemplate] = Field(default_factory=dict, max_length=20)
    ordering_key: LineTemplate | None = None
    location: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    group: LineTemplate | None = None
    source: LineTemplate | None = None
    detail_type: LineTemplate | None = None
    secret: SecretName | None = None
    access_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{16,128}$", examples=["AKIAIOSFODNN7EXAMPLE"])] | None = None
    api_url: ServerAddress | None = None
    allow_private: bool = False

    @property
    def service(self) -> Service:
        """Return which of the four settings names the bus."""
        return next(name for name in SERVICES if getattr(self, name) is not None)

    @property
    def target(self) -> GoogleTopic | AwsBus:
        """Return the bus that the message goes to."""
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
        for name, services in _SERVICES_OF_SETTING.items():
            if getattr(self, name) is not None and service not in services:
                raise ValueError(f"{name}: has no effect on {service}; take it out")
        if service != "pubsub" and (self.access_key_id is None) != (self.secret is None):
            raise ValueError("access_key_id and secret belong together; without both, the deployment's role publishes")
        return self

    @model_validator(mode="after")
    def _attributes_fit(self) -> Self:
        for name in self.attributes:
            if not _ATTRIBUTE_NAME.fullmatch(name) or _RESERVED_NAMES.match(name):
                rule = "must be letters, digits, `-` and `_`, and not begin with ce-, hookchain-, goog, aws or amazon"
                raise ValueError(f"attributes: a name {rule}; got {name!r}")
        if self.service == "eventbridge" and self.attributes:
            raise ValueError("attributes: EventBridge has none; add a field to the data with the route's steps")
        if self.service in ("sns", "sqs") and len(self.attributes) > MAX_FURTHER_ATTRIBUTES:
            raise ValueError(f"attributes: SNS and SQS take {MAX_FURTHER_ATTRIBUTES} beside Hookchain's own eight")
        return self


class _Message(NamedTuple):
    """A delivery that becomes a message: its text, its attributes and its place in an order, the same for each bus.

    `view` has the values for its templates.
    """

    delivery: Delivery
    settings: Settings
    attempt: Attempt
    view: JsonObject

    def content(self) -> tuple[str, str]:
        """Return the text of the message, and its content type.

        A document that a step left as text stays as it is. Any other data becomes JSON.
        """
        event = self.delivery.event
        if self.settings.format == "cloudevents":
            return http_kind.json_body(http_kind.public_cloudevent(event)).decode(), STRUCTURED
        if isinstance(event.data, str) and event.data and event.datatype:
            return http_kind.utf8(event.data).decode(), event.datatype
        return http_kind.json_body(event.data).decode(), "application/json"

    def attributes(self) -> dict[str, str]:
        """Return the attributes of the message, without the ones that have no text. Raises Permanent.

        With `cloudevents`, Pub/Sub gets none of the event's own: its structured mode has them in the text alone.
        """
        event = self.delivery.event
        is_pubsub = self.settings.service == "pubsub"
        attributes = {name: self.line(f"attributes.{name}", text) for name, text in self.settings.attributes.items()}
        attributes |= {DELIVERY_ID: self.attempt.idempotency_key, HOPS: str(event.hops + 1)}
        if self.settings.format == "data" or not is_pubsub:
            document = http_kind.public_cloudevent(replace(event, data=None, dataref=None))
            for name in ("data", "datacontenttype", "hops"):
                document.pop(name, None)
            names = tuple(document) if is_pubsub else SMALL
            attributes |= {f"ce-{name}": str(document[name]) for name in names if name in document}
        return {name: http_kind.utf8(text).decode() for name, text in attributes.items() if text}

    def line(self, name: str, template: str) -> str:
        """Return the result of a template as one line. Raises Permanent."""
        return http_kind.rendered_line(name, template, self.view)

    def order_parameters(self, bus: AwsBus) -> dict[str, str]:
        """Return the parameters of SNS and SQS that order messages: the group, and for a FIFO topic or queue also the
        id by which it drops a repeat within five minutes. Raises Permanent.
        """
        group = self.line("group", self.settings.group) if self.settings.group else ""
        parameters: dict[str, str] = {}
        if group:
            parameters["MessageGroupId"] = bounded_key(group, _GROUP)
        if bus.is_fifo:
            # FIFO requires a group. Without one of its own, a message has one for itself, and waits for no other.
            parameters.setdefault("MessageGroupId", self.attempt.idempotency_key)
            parameters["MessageDeduplicationId"] = self.attempt.idempotency_key
        return parameters


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: Attempt
) -> http_kind.OutgoingRequest:
    """Return the request that publishes the message. Raises Permanent."""
    message = _Message(delivery, settings, attempt, http_kind.template_view(delivery))
    target = settings.target
    if isinstance(target, GoogleTopic):
        return _pubsub_request(message, target)
    return _AWS[target.arn_service](message, target)


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome. The response itself shows which bus it is of: each has its own form of an error."""
    if response.status == 200 and response.member("FailedEntryCount"):
        code = response.member("Entries", 0, "ErrorCode")
        return _by_error(response, code[:100] if isinstance(code, str) and code else "InternalFailure")
    if error := _error_name(response):
        return _by_error(response, error)
    if response.status in {401, 403, 404} or response.member("error", "status") == _TOPIC_STATE:
        return http_kind.held(response, "the bus", _ACT)
    if 200 <= response.status < 300:
        return Delivered(response.excerpt) if _is_receipt(response) else RetryLater(_NO_RECEIPT)
    return http_kind.outcome_by_status(response, "the bus", failed={400, 413})


def _by_error(response: http_kind.Response, error: str) -> Outcome:
    """Return the outcome by the name of AWS's error. EventBridge answers 200, and names the error of each event."""
    if response.status >= 500 or _RETRIED.search(error) or _SKEWED.search(response.body):
        return RetryLater(f"the bus answered {error}", response.retry_after_seconds, response.excerpt)
    if _HELD.search(error):
        return http_kind.held(response, "the bus", f"{error}: {_ACT}")
    return Failed("request_rejected", f"the bus rejects the message: {error}", response.excerpt)


def _error_name(response: http_kind.Response) -> str:
    """Return the name of AWS's error, such as `AccessDeniedException`; empty for an answer without one."""
    if response.status < 400:
        return ""
    if code_element := _XML_CODE.search(response.body):
        return code_element[1].decode()
    error_type = response.member("__type")
    return error_type.rpartition("#")[2][:100] if isinstance(error_type, str) else ""


def _is_receipt(response: http_kind.Response) -> bool:
    """Return whether the response names the message. A proxy or a login page may answer 200 to anything."""
    receipts = [response.member("messageIds"), response.member("MessageId"), response.member("Entries", 0, "EventId")]
    return any(receipts) or b"<MessageId>" in response.body


def _pubsub_request(message: _Message, topic: GoogleTopic) -> http_kind.OutgoingRequest:
    """Return the request to Pub/Sub. Raises Permanent."""
    settings = message.settings
    text, content_type = message.content()
    attributes = {**message.attributes(), CONTENT_TYPE: http_kind.utf8(content_type).decode()}
    verify_size(size_of(text, attributes), MAX_PUBSUB_BYTES, "Pub/Sub")
    for name, value in attributes.items():
        if len(value.encode()) > MAX_PUBSUB_VALUE_BYTES:
            rule = f"attribute {name!r} has more than {MAX_PUBSUB_VALUE_BYTES:,} bytes, which Pub/Sub does not take"
            raise errors.Permanent("output_too_large", rule)
    pubsub_message: JsonObject = {"data": base64_text(text.encode()), "attributes": {**attributes}}
    if settings.ordering_key and (key := message.line("ordering_key", settings.ordering_key)):
        pubsub_message["orderingKey"] = bounded_key(key, _ORDERING_KEY)
    origin = f"https://{settings.location}-pubsub.googleapis.com" if settings.location else PUBSUB
    url = f"{settings.api_url or origin}/v1/{topic.path}:publish"
    auth = (GoogleOAuthRequestAuth(scheme="google_oauth", scope=PUBSUB_SCOPE, secret=settings.secret),)
    # An emulator requires no token, and a token must not be sent over plain http.
    is_emulated = url.startswith("http://")
    return http_kind.json_request(
        url, {"messages": [pubsub_message]}, auth=() if is_emulated else auth, allow_private=settings.allow_private
    )


def _sqs_request(message: _Message, queue: AwsBus) -> http_kind.OutgoingRequest:
    """Return the request to SQS. Raises Permanent."""
    text, attributes = _aws_content(message, MAX_AWS_BYTES, "SQS")
    origin = message.settings.api_url or queue.origin
    values: JsonObject = {name: {"DataType": _STRING, "StringValue": value} for name, value in attributes.items()}
    body: JsonObject = {
        "QueueUrl": f"{origin}/{queue.account}/{queue.resource}",
        "MessageBody": text,
        "MessageAttributes": values,
        **message.order_parameters(queue),
    }
    return _aws_action(message.settings, queue, "AmazonSQS.SendMessage", "1.0", body)


def _sns_request(message: _Message, topic: AwsBus) -> http_kind.OutgoingRequest:
    """Return the request to SNS, which takes a form. Raises Permanent."""
    settings = message.settings
    text, attributes = _aws_content(message, MAX_SNS_BYTES, "SNS")
    form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic.arn, "Message": text}
    for number, (name, value) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": _STRING, f"{entry}.Value.StringValue": value}
    form |= message.order_parameters(topic)
    headers = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)
    url = f"{settings.api_url or topic.origin}/"
    content = urlencode(form).encode()
    return http_kind.OutgoingRequest("POST", url, headers, content, _aws_auth(settings, topic), settings.allow_private)


def _eventbridge_request(message: _Message, bus: AwsBus) -> http_kind.OutgoingRequest:
    """Return the request to EventBridge. Raises Permanent.

    An event there has no attributes of its own, so URNs in `Resources` carry the delivery's id and the hops.
    """
    settings = message.settings
    event = message.delivery.event
    source = message.line("source", settings.source or "{{ source }}")[:MAX_SOURCE]
    detail_type = message.line("detail_type", settings.detail_type or "{{ type }}")[:MAX_DETAIL_TYPE]
    if not source or not detail_type or source.lower().startswith("aws."):
        rule = "source and detail_type: must not be empty, and a source must not begin with `aws.`, which is AWS's own"
        raise errors.Permanent("template_failed", rule)
    detail = http_kind.json_body(_detail(event, settings)).decode()
    resources = [f"urn:hookchain:delivery:{message.attempt.idempotency_key}", f"urn:hookchain:hops:{event.hops + 1}"]
    size = TIME_BYTES + sum(len(text.encode()) for text in (source, detail_type, detail, *resources))
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


_AWS: Final = {"sns": _sns_request, "sqs": _sqs_request, "events": _eventbridge_request}


def _detail(event: Event, settings: Settings) -> Json:
    """Return the event's data as an object: EventBridge takes nothing else."""
    if settings.format == "cloudevents":
        return http_kind.public_cloudevent(event)
    return event.data if isinstance(event.data, dict) else {"data": event.data}


def _time(event: Event) -> int:
    """Return the event's time in Unix seconds, or when it was received if the sender's time is before 1970, which AWS
    does not take. Return 0 if both are.
    """
    for text in (event.time, event.receivedat):
        if text is not None and (seconds := int(times.unix_seconds(text))) > 0:
            return seconds
    return 0


def _aws_content(message: _Message, limit: int, service: str) -> tuple[str, dict[str, str]]:
    """Return the text and the attributes as SNS and SQS accept them. Raises Permanent."""
    text = xml_safe(message.content()[0])
    attributes = {name: xml_safe(value) for name, value in message.attributes().items()}
    verify_size(size_of(text, attributes, len(_STRING)), limit, service)
    return text, attributes


def _aws_action(
    settings: Settings, bus: AwsBus, action: str, version: str, body: JsonObject
) -> http_kind.OutgoingRequest:
    """Return the request of an action in AWS's JSON protocol of this version, `1.0` or `1.1`."""
    headers = (("content-type", f"application/x-amz-json-{version}"), ("x-amz-target", action))
    url = f"{settings.api_url or bus.origin}/"
    content = http_kind.json_body(body)
    return http_kind.OutgoingRequest("POST", url, headers, content, _aws_auth(settings, bus), settings.allow_private)


def _aws_auth(settings: Settings, bus: AwsBus) -> tuple[AnyRequestAuth, ...]:
    """Return the scheme that signs a request: by the access key, or without one by the function's role."""
    keys = {"access_key_id": settings.access_key_id, "secret": settings.secret}
    return (AwsRequestAuth(scheme="aws", service=bus.arn_service, region=bus.region, **keys),)


def xml_safe(text: str) -> str:
    """Return the text with a mark in place of each character that SNS and SQS reject."""
    return _UNFIT.sub("\ufffd", text)


def bounded_key(text: str, pattern: re.Pattern[str]) -> str:
    """Return the key, or its hash where the bus does not take it, so that two keys stay two."""
    return text if pattern.fullmatch(text) else sha256(http_kind.utf8(text)).hexdigest()


def verify_size(size: int, limit: int, bus: str) -> None:
    """Raise Permanent (`output_too_large`) if the message is larger than the bus takes. `bus` is a name for people."""
    if size > limit:
        reason = f"the message has {size:,} bytes with its attributes; {bus} takes {limit:,}. Drop data with a step"
        raise errors.Permanent("output_too_large", reason)


def size_of(text: str, attributes: Mapping[str, str], type_bytes: int = 0) -> int:
    """Return the bytes of the text and its attributes. `type_bytes` is what the bus counts for an attribute's type."""
    total = len(text.encode())
    return total + sum(len(name.encode()) + len(value.encode()) + type_bytes for name, value in attributes.items())
