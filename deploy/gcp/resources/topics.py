"""The Pub/Sub topics and their subscriptions."""

import math
from dataclasses import dataclass
from typing import Final

from deploy.gcp.resource import Resource, digest_of, key_of, label_text, one
from deploy.gcp.resources.project import API, account_key
from deploy.google import names
from deploy.google.target import Target
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS

TOPIC: Final = "topic"
SUBSCRIPTION: Final = "subscription"

MAX_DELIVERY_ATTEMPTS: Final = 100
"""The maximum of Pub/Sub: about 16 hours at its longest wait. Then the message is a dead letter."""
MIN_RETRY_DELAY: Final = "10s"
MAX_RETRY_DELAY: Final = "600s"
RETENTION: Final = "7d"
HOLDING_RETENTION: Final = "31d"
ACK_MARGIN_SECONDS: Final = 10
MAX_ACK_SECONDS: Final = 600

_WHY: Final = {
    EVENTS: "events from receive to transform",
    DELIVERIES: "deliveries from transform to notify",
    DEAD_LETTERS: "dead letters",
}


def topic_key(target: Target, name: str) -> str:
    return key_of(TOPIC, names.topic(target, name))


def subscription_key(target: Target, name: str) -> str:
    return key_of(SUBSCRIPTION, names.subscription(target, name))


def topics(target: Target) -> tuple[Resource, ...]:
    return tuple(_topic(target, name) for name in names.TOPICS)


def _topic(target: Target, name: str) -> Resource:
    topic = names.topic(target, name)
    # Otherwise a message is stored in the region that is nearest to its publisher.
    regions = f"--message-storage-policy-allowed-regions={target.region}"
    digest = digest_of("topic", regions)
    labels = label_text(target, digest)
    return Resource(
        TOPIC,
        topic,
        _WHY[name],
        one("pubsub", "topics", "create", topic, regions, f"--labels={labels}"),
        one("pubsub", "topics", "update", topic, regions, f"--update-labels={labels}"),
        digest,
        needs=(key_of(API, "pubsub.googleapis.com"),),
    )


def ack_deadline(timeout_seconds: float) -> int:
    """Return a deadline that is longer than the service's timeout, so that no message is redelivered meanwhile."""
    return min(MAX_ACK_SECONDS, math.ceil(timeout_seconds) + ACK_MARGIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Push:
    """The target of a push: the service's URL, which is the audience of the token, and a path."""

    url: str
    path: str
    ack_seconds: int


def push_subscription(target: Target, name: str, topic: str, push: Push, why: str) -> Resource:
    """Return a subscription that pushes as the account push. All but that of dead letters have a dead-letter policy."""
    settings = (
        f"--ack-deadline={push.ack_seconds}",
        f"--push-endpoint={push.url}{push.path}",
        f"--push-auth-service-account={names.account_email(target, 'push')}",
        f"--push-auth-token-audience={push.url}",
        f"--min-retry-delay={MIN_RETRY_DELAY}",
        f"--max-retry-delay={MAX_RETRY_DELAY}",
        *_retention_flags(RETENTION),
    )
    if topic != DEAD_LETTERS:
        dead_letters = names.topic(target, DEAD_LETTERS)
        settings += (f"--dead-letter-topic={dead_letters}", f"--max-delivery-attempts={MAX_DELIVERY_ATTEMPTS}")
    return _subscription(target, name, topic, settings, why, (account_key(target, "push"),))


def holding_subscription(target: Target) -> Resource:
    why = "keeps dead letters for 31 days, even if notify cannot process them"
    return _subscription(target, names.HOLDING_SUBSCRIPTION, DEAD_LETTERS, _retention_flags(HOLDING_RETENTION), why, ())


def _retention_flags(retention: str) -> tuple[str, ...]:
    return (f"--message-retention-duration={retention}", "--expiration-period=never")


def _subscription(
    target: Target, name: str, topic: str, settings: tuple[str, ...], why: str, needs: tuple[str, ...]
) -> Resource:
    subscription = names.subscription(target, name)
    digest = digest_of(topic, settings)
    labels = label_text(target, digest)
    command = ("pubsub", "subscriptions")
    gives_up = any(each.startswith("--dead-letter-topic") for each in settings)
    cleared = () if gives_up else ("--clear-dead-letter-policy",)
    dead_letters = topic_key(target, DEAD_LETTERS)
    return Resource(
        SUBSCRIPTION,
        subscription,
        why,
        one(*command, "create", subscription, f"--topic={names.topic(target, topic)}", *settings, f"--labels={labels}"),
        one(*command, "update", subscription, *settings, *cleared, f"--update-labels={labels}"),
        digest,
        needs=(*dict.fromkeys((topic_key(target, topic), dead_letters)), *needs),
    )
