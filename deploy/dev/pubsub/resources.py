"""Topics and subscriptions: their names, and their settings as read from Google's JSON.

A setting that is not emulated is rejected by name, so that nobody relies on one that has no effect here.
https://cloud.google.com/pubsub/docs/reference/rest
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

import pydantic
from pydantic import AfterValidator, AliasPath, BeforeValidator, Field
from pydantic_core import from_json

from deploy.config.platform_parts import is_loopback
from shared.config.values import fault_text
from shared.jsontext import Json, JsonObject, mapping_at, value_at

MINUTE_SECONDS: Final = 60
DAY_SECONDS: Final = 86_400
MAX_ACK_DEADLINE_SECONDS: Final = 600
HTTP_CODES: Final[Mapping[str, int]] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}

TOPIC_SETTINGS: Final = frozenset({"labels"})
SUBSCRIPTION_SETTINGS: Final = frozenset(
    {
        "ackDeadlineSeconds",
        "deadLetterPolicy",
        "expirationPolicy",  # stored and returned; no subscription expires here
        "filter",
        "labels",
        "messageRetentionDuration",
        "pushConfig",
        "retryPolicy",
        "topic",
    }
)
FIXED_SETTINGS: Final = frozenset({"filter", "topic"})
"""Settings that no patch can change."""
_OUTPUT: Final = frozenset({"name", "state"})
"""Members that Google adds to each resource, and that clients send back."""

_PROJECT: Final = r"[a-z][a-z0-9.:-]{0,127}"
_ID: Final = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_NAME: Final = re.compile(rf"projects/{_PROJECT}/(topics|subscriptions)/{_ID}")
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")
_TEXT: Final = r'"((?:[^"\\]|\\["\\])*)"'
_EQUALITY: Final = re.compile(rf"\s*attributes\.(?:([A-Za-z_][\w-]*)|{_TEXT})\s*=\s*{_TEXT}\s*(AND\b|$)")

Filter: TypeAlias = tuple[tuple[str, str], ...]
"""The attributes that a message must have, and their values."""


class ApiError(Exception):
    """An error in Google's form, which a request is answered with. `status` is a key of HTTP_CODES.

    https://cloud.google.com/apis/design/errors
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.http_code = HTTP_CODES[status]
        self.document: JsonObject = {"error": {"code": self.http_code, "message": message, "status": status}}


def invalid(message: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", message)


def not_found(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"Resource not found (resource={name.rpartition('/')[2]}).")


def not_emulated(feature: str) -> ApiError:
    return ApiError("UNIMPLEMENTED", f"UNIMPLEMENTED: this emulator does not have {feature}; Google Cloud has it.")


class Members(pydantic.BaseModel):
    """The members of an object in Google's JSON. Null, false and empty values count as absent."""

    model_config = pydantic.ConfigDict(frozen=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_unset(cls, value: object) -> object:
        return {name: each for name, each in value.items() if _is_set(each)} if isinstance(value, dict) else value


Model = TypeVar("Model", bound=Members)


def read_members(model: type[Model], value: Mapping[str, object]) -> Model:
    """Raises ApiError."""
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise invalid(f"Invalid value at '{place}': it {fault_text(fault, shows_value=False)}.") from error


def _is_set(value: object) -> bool:
    """Return whether a client wants the setting: it sends false and empty values for what it does not want."""
    return value not in (None, False, "", [], {})


def _seconds(duration: object) -> float:
    """Return the seconds of a duration such as `3.5s`. Raises ValueError."""
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None:
        raise ValueError('must be a duration such as "3.5s"')
    return float(found[1])


Seconds = Annotated[float, BeforeValidator(_seconds)]
TopicName = Annotated[str, AfterValidator(lambda name: checked_name(name, "topics"))]


def _local_endpoint(endpoint: str) -> str:
    """Return the endpoint. Raises ValueError for one that is not on this machine."""
    parts = urlsplit(endpoint)
    is_one_line = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    if not (is_one_line and parts.scheme == "http" and parts.port != 0 and is_loopback(parts.hostname or "")):
        raise ValueError("must be an http:// URL on this machine (localhost, 127.0.0.1 or [::1])")
    return endpoint


class PushTarget(Members):
    """The endpoint of pushes. Each carries a token of `account`, if there is one, made out to `audience`."""

    endpoint: Annotated[str, AfterValidator(_local_endpoint), Field(alias="pushEndpoint")]
    account: Annotated[str, Field(validation_alias=AliasPath("oidcToken", "serviceAccountEmail"))] = ""
    audience: Annotated[str, Field(validation_alias=AliasPath("oidcToken", "audience"))] = ""


class RetryPolicy(Members):
    """Google's defaults: https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff."""

    minimum_seconds: Annotated[Seconds, Field(alias="minimumBackoff", le=600)] = 10.0
    maximum_seconds: Annotated[Seconds, Field(alias="maximumBackoff", le=600)] = 600.0

    @pydantic.model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.minimum_seconds > self.maximum_seconds:
            raise ValueError("must have a minimumBackoff that is not over its maximumBackoff")
        return self


class DeadLetterPolicy(Members):
    topic: Annotated[TopicName, Field(alias="deadLetterTopic")]
    max_attempts: Annotated[int, Field(alias="maxDeliveryAttempts", ge=5, le=100)] = 5


class Subscription(Members):
    """A subscription's settings. `push` is None for pull; `resource` is its JSON, as a GET returns it."""

    name: str
    resource: dict[str, pydantic.JsonValue]
    topic: TopicName
    ack_deadline_seconds: Annotated[int, Field(alias="ackDeadlineSeconds", ge=10, le=MAX_ACK_DEADLINE_SECONDS)] = 10
    retention_seconds: Annotated[
        Seconds, Field(alias="messageRetentionDuration", ge=10 * MINUTE_SECONDS, le=31 * DAY_SECONDS)
    ] = 7.0 * DAY_SECONDS
    filter: Annotated[Filter, BeforeValidator(lambda text: parse_filter(str(text)))] = ()
    push: Annotated[PushTarget | None, Field(alias="pushConfig")] = None
    retry: Annotated[RetryPolicy | None, Field(alias="retryPolicy")] = None
    dead_letter: Annotated[DeadLetterPolicy | None, Field(alias="deadLetterPolicy")] = None
    labels: dict[str, str] = Field(default_factory=dict)


def parse_object(body: bytes) -> JsonObject:
    """Parse a request's body; an empty body is an empty object. Raises ApiError."""
    try:
        document: Json = from_json(body, allow_inf_nan=False) if body.strip() else {}
    except ValueError as error:  # half a surrogate pair is one too, which no answer could contain
        raise invalid("Invalid JSON payload received. The body is not JSON.") from error
    if not isinstance(document, dict):
        raise invalid("Invalid JSON payload received. The body is not an object.")
    return document


def checked_name(name: str, collection: str) -> str:
    """Return the name if it is valid in `collection`: `topics` or `subscriptions`. Raises ApiError."""
    found = _NAME.fullmatch(name)
    if not found or found[1] != collection:
        raise invalid(
            f"Invalid [{collection}] name: (name={name}). It is projects/<project>/{collection}/<id>; the id has 3 to "
            "255 letters, digits or any of -_.~+%, begins with a letter and not with 'goog'."
        )
    return name


class _Topic(Members):
    labels: dict[str, str] = Field(default_factory=dict)


def topic_from(name: str, body: JsonObject) -> JsonObject:
    """Return a topic as a GET returns it. Raises ApiError."""
    checked_name(name, "topics")
    _reject_unemulated(body, TOPIC_SETTINGS, "topic")
    labels = read_members(_Topic, body).labels
    return {"name": name, **({"labels": dict(labels)} if labels else {})}


def subscription_from(name: str, body: JsonObject) -> Subscription:
    """Raises ApiError."""
    checked_name(name, "subscriptions")
    _reject_unemulated(body, SUBSCRIPTION_SETTINGS, "subscription")
    if value_at(body, "pushConfig", "noWrapper") is not None:
        raise not_emulated("a push without its wrapper (noWrapper)")
    settings = {setting: body[setting] for setting in SUBSCRIPTION_SETTINGS & body.keys() if _is_set(body[setting])}
    if not value_at(settings, "pushConfig", "pushEndpoint"):  # its messages are pulled
        settings.pop("pushConfig", None)
    resource: JsonObject = {"name": name, **settings, "state": "ACTIVE"}
    return read_members(Subscription, {**settings, "name": name, "resource": resource})


def changed_resource(resource: JsonObject, body: JsonObject) -> JsonObject:
    """Return the subscription's resource after a patch; a setting that the mask names and the patch lacks is removed.

    `body` is the patch's: `{"subscription": {…}, "updateMask": "pushConfig,labels"}`. Raises ApiError.
    """
    names = {name.strip() for name in str(body.get("updateMask", "")).split(",") if name.strip()}
    if not names:
        raise invalid("The updateMask in the request is empty; it names the fields to update.")
    if unchangeable := names - (SUBSCRIPTION_SETTINGS - FIXED_SETTINGS):
        raise not_emulated(f"a change of a subscription's {min(unchangeable)}")
    changes = mapping_at(body, "subscription")
    kept = {name: value for name, value in resource.items() if name not in names}
    return {**kept, **{name: changes[name] for name in names if name in changes}}


def _reject_unemulated(body: JsonObject, settings: frozenset[str], kind: str) -> None:
    """Raises ApiError."""
    for name in body.keys() - settings - _OUTPUT:
        if _is_set(body[name]):
            raise not_emulated(f"a {kind}'s {name}")


def parse_filter(text: str) -> Filter:
    """Parse equality of attributes, joined with AND; an empty text lets every message through. Raises ApiError.

    https://cloud.google.com/pubsub/docs/subscription-message-filter
    """
    pairs: list[tuple[str, str]] = []
    position = 0
    joined = "AND" if text.strip() else ""
    while joined:
        found = _EQUALITY.match(text, position)
        if not found:
            raise invalid(
                f"Invalid filter (filter={text}). This emulation takes equality of attributes, joined with AND: "
                'attributes.region = "north" AND attributes.kind = "signup".'
            )
        bare_name, quoted_name, value, joined = found.groups()
        pairs.append((bare_name or _unescaped(quoted_name), _unescaped(value)))
        position = found.end()
    return tuple(pairs)


def lets_through(required: Filter, attributes: Mapping[str, str]) -> bool:
    return all(attributes.get(key) == value for key, value in required)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
