"""What a subscription is, from its JSON."""

from dataclasses import dataclass
from typing import Final

from deploy.dev.pubsub.backoff import RetryPolicy
from deploy.dev.pubsub.durations import duration_text
from deploy.dev.pubsub.errors import invalid, not_emulated
from deploy.dev.pubsub.fields import Fields
from deploy.dev.pubsub.filters import Filter, parse_filter
from deploy.dev.pubsub.names import DELETED_TOPIC, checked_name
from deploy.dev.pubsub.policies import (
    DeadLetterPolicy,
    PushTarget,
    dead_letter_policy,
    push_target,
    retry_policy,
)
from deploy.dev.pubsub.topics import DAY_SECONDS, MINUTE_SECONDS
from shared.jsontext import JsonObject

UPDATABLE: Final = frozenset(
    {
        "ackDeadlineSeconds",
        "deadLetterPolicy",
        "expirationPolicy",
        "labels",
        "messageRetentionDuration",
        "pushConfig",
        "retainAckedMessages",
        "retryPolicy",
    }
)
NOT_EMULATED: Final = (
    "bigqueryConfig",
    "bigtableConfig",
    "cloudStorageConfig",
    "enableExactlyOnceDelivery",
    "enableMessageOrdering",
    "messageTransforms",
)
_IGNORED: Final = frozenset({"analyticsHubSubscriptionInfo", "state", "tags", "topicMessageRetentionDuration"})
_KNOWN: Final = UPDATABLE | _IGNORED | frozenset(NOT_EMULATED) | {"name", "topic", "filter", "detached"}


@dataclass(frozen=True, slots=True)
class Subscription:
    """`resource` is its JSON as a GET answers it."""

    name: str
    topic: str
    ack_deadline_seconds: int
    retention_seconds: float
    retains_acked: bool
    filter: Filter
    push: PushTarget | None
    retry: RetryPolicy | None
    dead_letter: DeadLetterPolicy | None
    detached: bool
    resource: JsonObject


def subscription_from(name: str, body: JsonObject) -> Subscription:
    checked_name(name, "subscriptions")
    fields = Fields(body, "subscription", _KNOWN)
    for member in NOT_EMULATED:
        if fields.asks_for(member):
            raise not_emulated(f"a subscription's {member}")
    topic = fields.text("topic")
    subscription = Subscription(
        name=name,
        topic=topic if topic == DELETED_TOPIC else checked_name(topic, "topics"),
        ack_deadline_seconds=_ack_deadline(fields),
        retention_seconds=fields.seconds(
            "messageRetentionDuration", 7 * DAY_SECONDS, 10 * MINUTE_SECONDS, 31 * DAY_SECONDS
        ),
        retains_acked=fields.flag("retainAckedMessages"),
        filter=parse_filter(fields.text("filter")),
        push=push_target(fields.message("pushConfig")),
        retry=retry_policy(fields.message("retryPolicy")),
        dead_letter=dead_letter_policy(fields.message("deadLetterPolicy")),
        detached=fields.flag("detached"),
        resource={},
    )
    subscription.resource.update(_resource(subscription, fields))
    return subscription


def _ack_deadline(fields: Fields) -> int:
    seconds = fields.whole("ackDeadlineSeconds") or 10
    if not 10 <= seconds <= 600:
        raise invalid(f"Invalid value at '{fields.path('ackDeadlineSeconds')}': from 10 to 600 seconds, or 0 for 10.")
    return seconds


def _resource(subscription: Subscription, fields: Fields) -> JsonObject:
    """With the defaults filled in, and what is false or empty left out, as Google answers."""
    resource: JsonObject = {
        "name": subscription.name,
        "topic": subscription.topic,
        "pushConfig": fields.message("pushConfig") or {},
        "ackDeadlineSeconds": subscription.ack_deadline_seconds,
        "messageRetentionDuration": duration_text(subscription.retention_seconds),
        # Taken and given back; nothing expires here.
        "expirationPolicy": _expiration(fields),
        "state": "ACTIVE",
    }
    if labels := fields.texts("labels"):
        resource["labels"] = dict(labels)
    if filter_text := fields.text("filter"):
        resource["filter"] = filter_text
    for name in ("retainAckedMessages", "detached"):
        if fields.flag(name):
            resource[name] = True
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
