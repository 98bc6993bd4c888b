"""The Pub/Sub topics and their subscriptions."""

import math
from dataclasses import dataclass
from typing import Final

from deploy.gcp.resource import Resource, digest_of, key_of, label_text, one
from deploy.gcp.resources.project import API, account_key
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.topics import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES, Topic
from shared.ports import DEAD_LETTERS

TOPIC: Final = "topic"
SUBSCRIPTION: Final = "subscription"

ACK_MARGIN_SECONDS: Final = 10
MAX_ACK_SECONDS: Final = 600


def topic_key(target: Target, name: str) -> str:
    return key_of(TOPIC, names.topic(target, name))


def subscription_key(target: Target, name: str) -> str:
    return key_of(SUBSCRIPTION, names.subscription(target, name))


def topic(target: Target, needed: Topic) -> Resource:
    name = names.topic(target, needed.name)
    # Otherwise a message is stored in the region that is nearest to its publisher.
    regions = f"--message-storage-policy-allowed-regions={target.region}"
    digest = digest_of("topic", regions)
    labels = label_text(target, digest)
    return Resource(
        TOPIC,
        name,
        needed.does,
        one("pubsub", "topics", "create", name, regions, f"--labels={labels}"),
        one("pubsub", "topics", "update", name, regions, f"--update-labels={labels}"),
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


def push_subscription(target: Target, name: str, topic: Topic, push: Push, why: str) -> Resource:
    """Return a subscription that pushes as the account push. The name of a topic of somebody else has a `/`."""
    settings = (
        f"--ack-deadline={push.ack_seconds}",
        f"--push-endpoint={push.url}{push.path}",
        f"--push-auth-service-account={names.account_email(target, 'push')}",
        f"--push-auth-token-audience={push.url}",
        f"--min-retry-delay={FIRST_WAIT_SECONDS}s",
        f"--max-retry-delay={LONGEST_WAIT_SECONDS}s",
        *_retention_flags(topic.kept_days),
    )
    if topic.gives_up:
        dead_letters = names.topic(target, DEAD_LETTERS)
        settings += (f"--dead-letter-topic={dead_letters}", f"--max-delivery-attempts={MOST_TRIES}")
    return _subscription(target, name, topic.name, settings, why, (account_key(target, "push"),))


def holding_subscription(target: Target, topic: Topic) -> Resource:
    """Return a subscription that nobody is pushed."""
    why = f"keeps {topic.does} for {topic.held_days} days, even if notify cannot process them"
    flags = _retention_flags(topic.held_days)
    return _subscription(target, names.holding_subscription(topic.name), topic.name, flags, why, ())


def _retention_flags(days: int) -> tuple[str, ...]:
    return (f"--message-retention-duration={days}d", "--expiration-period=never")


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
    is_own = "/" not in topic
    of = names.topic(target, topic) if is_own else topic
    topics = (topic_key(target, topic), dead_letters) if is_own else (dead_letters,)
    return Resource(
        SUBSCRIPTION,
        subscription,
        why,
        one(*command, "create", subscription, f"--topic={of}", *settings, f"--labels={labels}"),
        one(*command, "update", subscription, *settings, *cleared, f"--update-labels={labels}"),
        digest,
        needs=(*dict.fromkeys(topics), *needs),
    )
