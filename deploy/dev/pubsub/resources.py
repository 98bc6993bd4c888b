"""Topics and subscriptions: their names, and their settings as read from Google's JSON.

A setting that is not emulated is rejected by name, so that nobody relies on one that has no effect here.
https://cloud.google.com/pubsub/docs/reference/rest
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from deploy.config.slices import is_loopback
from shared.jsontext import Json, JsonObject, to_json

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


@dataclass(frozen=True, slots=True)
class PushTarget:
    """The endpoint of pushes. Each carries a token of `account`, made out to `audience`; none if they are empty."""

    endpoint: str
    account: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Google's defaults: https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff."""

    minimum_seconds: float = 10.0
    maximum_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class DeadLetterPolicy:
    topic: str
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription's settings. `push` is None for pull; `resource` is its JSON, as a GET returns it."""

    name: str
    topic: str
    ack_deadline_seconds: int
    retention_seconds: float
    filter: Filter
    push: PushTarget | None
    retry: RetryPolicy | None
    dead_letter: DeadLetterPolicy | None
    resource: JsonObject


def parse_object(body: bytes) -> JsonObject:
    """Parse a request's body; an empty body is an empty object. Raises ApiError."""
    try:
        document: Json = {}
        if body.strip():
            document = json.loads(body, parse_constant=_reject_constant, parse_float=_finite)
        if b"\\u" in body:
            to_json(document).encode()  # raises for a lone surrogate, which no answer could contain
    except (ValueError, RecursionError) as error:
        raise invalid("Invalid JSON payload received. The body is not JSON.") from error
    if not isinstance(document, dict):
        raise invalid("Invalid JSON payload received. The body is not an object.")
    return document


def _reject_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return the number. Raises ValueError for one that is out of range, such as 1e999."""
    if math.isinf(number := float(text)):
        raise ValueError("a number is out of range")
    return number


class Fields:
    """The members of one JSON object. Reading a member as another type than it has raises ApiError.

    `path` is the object's place in the request, for the error's text. A null counts as absent.
    """

    def __init__(self, value: Json, path: str = "") -> None:
        if not isinstance(value, dict):
            raise invalid(f"Invalid value at '{path}': an object is expected.")
        self._members = {name: member for name, member in value.items() if member is not None}
        self._path = path

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def text(self, name: str, default: str = "") -> str:
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def flag(self, name: str) -> bool:
        return self._members.get(name) is True

    def whole(self, name: str, default: int = 0) -> int:
        """Return an integer; protobuf's JSON mapping accepts it as a string too."""
        value = self._members.get(name, default)
        if isinstance(value, str) and value.isdecimal() and len(value) <= 18:
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number")
        return value

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        """Return the seconds of a duration such as `3.5s`."""
        if name not in self._members:
            return default
        found = _DURATION.fullmatch(self.text(name))
        if found is None or not least <= float(found[1]) <= most:
            raise self._wrong(name, f'a duration such as "3.5s" from {least:.0f} to {most:.0f} seconds')
        return float(found[1])

    def message(self, name: str) -> JsonObject | None:
        value = self._members.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def messages(self, name: str) -> list[Json]:
        value = self._members.get(name, [])
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        return value

    def texts(self, name: str) -> dict[str, str]:
        members = self.message(name) or {}
        texts = {key: text for key, text in members.items() if isinstance(text, str)}
        if len(texts) != len(members):
            raise self._wrong(name, "an object of strings")
        return texts

    def _wrong(self, name: str, expected: str) -> ApiError:
        return invalid(f"Invalid value at '{self.path(name)}': {expected} is expected.")


def checked_name(name: str, collection: str) -> str:
    """Return the name if it is valid in `collection`: `topics` or `subscriptions`. Raises ApiError."""
    found = _NAME.fullmatch(name)
    if not found or found[1] != collection:
        raise invalid(
            f"Invalid [{collection}] name: (name={name}). It is projects/<project>/{collection}/<id>; the id has 3 to "
            "255 letters, digits or any of -_.~+%, begins with a letter and not with 'goog'."
        )
    return name


def topic_from(name: str, body: JsonObject) -> JsonObject:
    """Return a topic as a GET returns it. Raises ApiError."""
    checked_name(name, "topics")
    _reject_unemulated(body, TOPIC_SETTINGS, "topic")
    labels = Fields(body, "topic").texts("labels")
    return {"name": name, **({"labels": dict(labels)} if labels else {})}


def subscription_from(name: str, body: JsonObject) -> Subscription:
    """Raises ApiError."""
    checked_name(name, "subscriptions")
    _reject_unemulated(body, SUBSCRIPTION_SETTINGS, "subscription")
    fields = Fields(body, "subscription")
    fields.texts("labels")  # raises for labels that are no texts
    settings = {setting: body[setting] for setting in SUBSCRIPTION_SETTINGS & body.keys() if _is_set(body[setting])}
    return Subscription(
        name=name,
        topic=checked_name(fields.text("topic"), "topics"),
        ack_deadline_seconds=_ack_deadline(fields),
        retention_seconds=fields.seconds(
            "messageRetentionDuration", 7 * DAY_SECONDS, 10 * MINUTE_SECONDS, 31 * DAY_SECONDS
        ),
        filter=parse_filter(fields.text("filter")),
        push=_push_target(fields.message("pushConfig")),
        retry=_retry_policy(fields.message("retryPolicy")),
        dead_letter=_dead_letter_policy(fields.message("deadLetterPolicy")),
        resource={"name": name, **settings, "state": "ACTIVE"},
    )


def changed_resource(resource: JsonObject, body: JsonObject) -> JsonObject:
    """Return the subscription's resource after a patch; a setting that the mask names and the patch lacks is removed.

    `body` is the patch's: `{"subscription": {…}, "updateMask": "pushConfig,labels"}`. Raises ApiError.
    """
    fields = Fields(body)
    names = {name.strip() for name in fields.text("updateMask").split(",") if name.strip()}
    if not names:
        raise invalid("The updateMask in the request is empty; it names the fields to update.")
    if unchangeable := names - (SUBSCRIPTION_SETTINGS - FIXED_SETTINGS):
        raise not_emulated(f"a change of a subscription's {min(unchangeable)}")
    changes = fields.message("subscription") or {}
    kept = {name: value for name, value in resource.items() if name not in names}
    return {**kept, **{name: changes[name] for name in names if name in changes}}


def _reject_unemulated(body: JsonObject, settings: frozenset[str], kind: str) -> None:
    """Raises ApiError."""
    for name in body.keys() - settings - _OUTPUT:
        if _is_set(body[name]):
            raise not_emulated(f"a {kind}'s {name}")


def _is_set(value: Json) -> bool:
    """Return whether a client wants the setting: it sends false and empty values for what it does not want."""
    return value not in (None, False, "", [], {})


def _ack_deadline(fields: Fields) -> int:
    seconds = fields.whole("ackDeadlineSeconds") or 10
    if not 10 <= seconds <= MAX_ACK_DEADLINE_SECONDS:
        raise invalid(f"Invalid value at '{fields.path('ackDeadlineSeconds')}': from 10 to 600 seconds, or 0 for 10.")
    return seconds


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


def _push_target(config: JsonObject | None) -> PushTarget | None:
    fields = Fields(config or {}, "subscription.pushConfig")
    endpoint = fields.text("pushEndpoint")
    if not endpoint:
        return None
    if fields.message("noWrapper") is not None:
        raise not_emulated("a push without its wrapper (noWrapper)")
    if not _is_local_endpoint(endpoint):
        raise invalid(
            "Invalid push endpoint given. This emulation pushes to http:// URLs on this machine only "
            "(localhost, 127.0.0.1 or [::1])."
        )
    token = Fields(fields.message("oidcToken") or {}, fields.path("oidcToken"))
    account = token.text("serviceAccountEmail")
    audience = token.text("audience") or endpoint
    return PushTarget(endpoint, account, audience if account else "")


def _is_local_endpoint(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        is_http = parts.scheme == "http" and parts.port != 0
    except ValueError:
        return False
    is_one_line = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    return is_one_line and is_http and is_loopback(parts.hostname or "")


def _retry_policy(policy: JsonObject | None) -> RetryPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.retryPolicy")
    defaults = RetryPolicy()
    minimum = fields.seconds("minimumBackoff", defaults.minimum_seconds, 0, 600)
    maximum = fields.seconds("maximumBackoff", defaults.maximum_seconds, 0, 600)
    if minimum > maximum:
        raise invalid("The retry policy's minimumBackoff is over its maximumBackoff.")
    return RetryPolicy(minimum, maximum)


def _dead_letter_policy(policy: JsonObject | None) -> DeadLetterPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.deadLetterPolicy")
    attempts = fields.whole("maxDeliveryAttempts") or 5
    if not 5 <= attempts <= 100:
        raise invalid(f"Invalid value at '{fields.path('maxDeliveryAttempts')}': from 5 to 100.")
    return DeadLetterPolicy(checked_name(fields.text("deadLetterTopic"), "topics"), attempts)
