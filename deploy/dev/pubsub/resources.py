"""Topics and subscriptions: their names, and their settings as read from their JSON.

What is not emulated is rejected by name, so that nobody relies on a setting that does nothing here.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.config.slices import is_loopback
from deploy.dev.pubsub.filters import Filter, parse_filter
from deploy.dev.pubsub.google_json import Fields, duration_text, invalid, not_emulated
from shared.jsontext import JsonObject

MINUTE_SECONDS: Final = 60
DAY_SECONDS: Final = 86_400

DELETED_TOPIC: Final = "_deleted-topic_"

TOPIC_NOT_EMULATED: Final = (
    *("ingestionDataSourceSettings", "messageRetentionDuration", "messageTransforms", "schemaSettings"),
)
# Stored and returned, without any effect here.
TOPIC_UPDATABLE: Final = frozenset({"kmsKeyName", "labels", "messageStoragePolicy"})
_TOPIC_FIELDS: Final = TOPIC_UPDATABLE | frozenset(TOPIC_NOT_EMULATED) | {"name", "state", "satisfiesPzs", "tags"}

NOT_EMULATED: Final = (
    "bigqueryConfig",
    "bigtableConfig",
    "cloudStorageConfig",
    "detached",
    "enableExactlyOnceDelivery",
    "enableMessageOrdering",
    "messageTransforms",
    "retainAckedMessages",
)
UPDATABLE: Final = frozenset(
    {
        "ackDeadlineSeconds",
        "deadLetterPolicy",
        "expirationPolicy",
        "labels",
        "messageRetentionDuration",
        "pushConfig",
        "retryPolicy",
    }
)
_IGNORED: Final = frozenset({"analyticsHubSubscriptionInfo", "state", "tags", "topicMessageRetentionDuration"})
_SUBSCRIPTION_FIELDS: Final = UPDATABLE | _IGNORED | frozenset(NOT_EMULATED) | {"name", "topic", "filter"}
_PUSH_FIELDS: Final = frozenset({"pushEndpoint", "attributes", "oidcToken", "pubsubWrapper", "noWrapper"})

_PROJECT: Final = r"[a-z][a-z0-9.:-]{0,127}"
_ID: Final = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_NAME: Final = re.compile(rf"projects/{_PROJECT}/(topics|subscriptions)/{_ID}")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `resource` is its JSON as a GET returns it."""

    name: str
    resource: JsonObject


@dataclass(frozen=True, slots=True)
class PushTarget:
    """The endpoint of pushes. `account`: the account whose token each push carries, made out to `audience`; both empty
    for pushes without a token."""

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
    """A subscription's settings. `push` is None for pull; `resource` is its JSON as a GET returns it."""

    name: str
    topic: str
    ack_deadline_seconds: int
    retention_seconds: float
    filter: Filter
    push: PushTarget | None
    retry: RetryPolicy | None
    dead_letter: DeadLetterPolicy | None
    resource: JsonObject


def checked_name(name: str, collection: str) -> str:
    """Return the name if it is valid in `collection`: `topics` or `subscriptions`. Raises ApiError."""
    found = _NAME.fullmatch(name)
    if not found or found[1] != collection:
        raise invalid(
            f"Invalid [{collection}] name: (name={name}). It is projects/<project>/{collection}/<id>; the id has 3 to "
            "255 letters, digits or any of -_.~+%, begins with a letter and not with 'goog'."
        )
    return name


def topic_from(name: str, body: JsonObject) -> Topic:
    """Raises ApiError."""
    checked_name(name, "topics")
    fields = Fields(body, "topic", _TOPIC_FIELDS)
    _reject_unemulated(fields, TOPIC_NOT_EMULATED, "topic")
    resource: JsonObject = {"name": name}
    if labels := fields.texts("labels"):
        resource["labels"] = dict(labels)
    if key := fields.text("kmsKeyName"):
        resource["kmsKeyName"] = key
    if policy := fields.message("messageStoragePolicy"):
        resource["messageStoragePolicy"] = policy
    return Topic(name, resource)


def subscription_from(name: str, body: JsonObject) -> Subscription:
    """Raises ApiError."""
    checked_name(name, "subscriptions")
    fields = Fields(body, "subscription", _SUBSCRIPTION_FIELDS)
    _reject_unemulated(fields, NOT_EMULATED, "subscription")
    topic = fields.text("topic")
    subscription = Subscription(
        name=name,
        topic=topic if topic == DELETED_TOPIC else checked_name(topic, "topics"),
        ack_deadline_seconds=_ack_deadline(fields),
        retention_seconds=fields.seconds(
            "messageRetentionDuration", 7 * DAY_SECONDS, 10 * MINUTE_SECONDS, 31 * DAY_SECONDS
        ),
        filter=parse_filter(fields.text("filter")),
        push=_push_target(fields.message("pushConfig")),
        retry=_retry_policy(fields.message("retryPolicy")),
        dead_letter=_dead_letter_policy(fields.message("deadLetterPolicy")),
        resource={},
    )
    subscription.resource.update(_resource(subscription, fields))
    return subscription


def _reject_unemulated(fields: Fields, names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if fields.asks_for(name):
            raise not_emulated(f"a {kind}'s {name}")


def _ack_deadline(fields: Fields) -> int:
    seconds = fields.whole("ackDeadlineSeconds") or 10
    if not 10 <= seconds <= 600:
        raise invalid(f"Invalid value at '{fields.path('ackDeadlineSeconds')}': from 10 to 600 seconds, or 0 for 10.")
    return seconds


def _push_target(config: JsonObject | None) -> PushTarget | None:
    fields = Fields(config or {}, "subscription.push_config", _PUSH_FIELDS)
    fields.texts("attributes")
    endpoint = fields.text("pushEndpoint")
    if not endpoint:
        return None
    if fields.message("noWrapper") is not None:
        raise not_emulated("a push without its wrapper (noWrapper)")
    _verify_endpoint(endpoint)
    token = Fields(fields.message("oidcToken") or {}, fields.path("oidcToken"), {"serviceAccountEmail", "audience"})
    account, audience = token.text("serviceAccountEmail"), token.text("audience") or endpoint
    return PushTarget(endpoint, account, audience if account else "")


def _verify_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        is_valid = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
        is_valid = is_valid and parts.scheme == "http" and parts.port != 0 and is_loopback(parts.hostname or "")
    except ValueError:
        is_valid = False
    if not is_valid:
        raise invalid(
            "Invalid push endpoint given. This emulation pushes to http:// URLs on this machine only "
            "(localhost, 127.0.0.1 or [::1])."
        )


def _retry_policy(policy: JsonObject | None) -> RetryPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.retry_policy", {"minimumBackoff", "maximumBackoff"})
    defaults = RetryPolicy()
    minimum = fields.seconds("minimumBackoff", defaults.minimum_seconds, 0, 600)
    maximum = fields.seconds("maximumBackoff", defaults.maximum_seconds, 0, 600)
    if minimum > maximum:
        raise invalid("The retry policy's minimum_backoff is over its maximum_backoff.")
    return RetryPolicy(minimum, maximum)


def _dead_letter_policy(policy: JsonObject | None) -> DeadLetterPolicy | None:
    if policy is None:
        return None
    fields = Fields(policy, "subscription.dead_letter_policy", {"deadLetterTopic", "maxDeliveryAttempts"})
    attempts = fields.whole("maxDeliveryAttempts") or 5
    if not 5 <= attempts <= 100:
        raise invalid(f"Invalid value at '{fields.path('maxDeliveryAttempts')}': from 5 to 100.")
    return DeadLetterPolicy(checked_name(fields.text("deadLetterTopic"), "topics"), attempts)


def _resource(subscription: Subscription, fields: Fields) -> JsonObject:
    """Return its JSON with the defaults filled in and empty members left out, as Google returns it."""
    resource: JsonObject = {
        "name": subscription.name,
        "topic": subscription.topic,
        "pushConfig": fields.message("pushConfig") or {},
        "ackDeadlineSeconds": subscription.ack_deadline_seconds,
        "messageRetentionDuration": duration_text(subscription.retention_seconds),
        # Stored and returned; nothing expires here.
        "expirationPolicy": _expiration(fields),
        "state": "ACTIVE",
    }
    if labels := fields.texts("labels"):
        resource["labels"] = dict(labels)
    if filter_text := fields.text("filter"):
        resource["filter"] = filter_text
    if subscription.retry:
        resource["retryPolicy"] = {
            "minimumBackoff": duration_text(subscription.retry.minimum_seconds),
            "maximumBackoff": duration_text(subscription.retry.maximum_seconds),
        }
    if subscription.dead_letter:
        resource["deadLetterPolicy"] = {
            "deadLetterTopic": subscription.dead_letter.topic,
            "maxDeliveryAttempts": subscription.dead_letter.max_attempts,
        }
    return resource


def _expiration(fields: Fields) -> JsonObject:
    policy = fields.message("expirationPolicy")
    if policy is None:
        return {"ttl": duration_text(31 * DAY_SECONDS)}
    inner = Fields(policy, fields.path("expirationPolicy"), {"ttl"})
    if "ttl" not in inner:
        return {}
    return {"ttl": duration_text(inner.seconds("ttl", 0, DAY_SECONDS, 365 * DAY_SECONDS))}
