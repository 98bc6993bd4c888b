"""The Pub/Sub topics and their subscriptions, and what a bucket tells a topic of its own.

A topic whose name has a `/` is somebody else's: it exists already, and its name does not begin with the prefix.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access import gcp_names
from deploy.gcp.resource import ADDRESS, Existing, Resource, digest_of, gcloud, key_of, label_text
from deploy.gcp.resources.project import API, account_key
from deploy.topology.buses import BusSource
from deploy.topology.topology import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES, Topic
from functions.receive.source import RECOVERED_KIND
from shared import jsontext, ports

TOPIC: Final = "topic"
SUBSCRIPTION: Final = "subscription"

ACK_MARGIN_SECONDS: Final = 10
"""How much longer than the service's timeout a message is left to it."""
MAX_ACK_SECONDS: Final = 600
"""Pub/Sub's own limit."""

TAP_TOPIC: Final = Topic(ports.TAP, "copies of requests for developers")


def topic_key(target: gcp_names.Target, name: str) -> str:
    return key_of(TOPIC, target.name_of(name))


def subscription_key(target: gcp_names.Target, name: str) -> str:
    return key_of(SUBSCRIPTION, target.name_of(name))


def topic(target: gcp_names.Target, needed: Topic) -> Resource:
    """Return a topic of the deployment, whose messages are stored in its region only."""
    name = target.name_of(needed.name)
    # Otherwise a message is stored in the region that is nearest to its publisher.
    regions = f"--message-storage-policy-allowed-regions={target.region}"
    digest = digest_of("topic", regions)
    labels = label_text(target, digest)
    return Resource(
        TOPIC,
        name,
        needed.does,
        create=gcloud("pubsub topics create", name, regions, f"--labels={labels}"),
        update=gcloud("pubsub topics update", name, regions, f"--update-labels={labels}"),
        digest=digest,
        needs=(key_of(API, "pubsub.googleapis.com"),),
    )


def ack_deadline(timeout_seconds: float) -> int:
    """Return a deadline that is longer than the service's timeout, so that no message is redelivered meanwhile."""
    return min(MAX_ACK_SECONDS, math.ceil(timeout_seconds) + ACK_MARGIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Push:
    """The target of a push: the service's URL, which is the audience of the token, and a path.

    `ack_seconds` is how long the service may take until a message is pushed again.
    """

    url: str
    path: str
    ack_seconds: int


def push_subscription(target: gcp_names.Target, name: str, topic: Topic, push: Push, why: str) -> Resource:
    """Return a subscription that pushes as the account push, of the deployment's topic or of somebody else's."""
    flags = (
        f"--ack-deadline={push.ack_seconds}",
        f"--push-endpoint={push.url}{push.path}",
        f"--push-auth-service-account={gcp_names.account_email(target, 'push')}",
        f"--push-auth-token-audience={push.url}",
        f"--min-retry-delay={FIRST_WAIT_SECONDS}s",
        f"--max-retry-delay={LONGEST_WAIT_SECONDS}s",
        *_retention_flags(topic.kept_days),
    )
    if topic.gives_up:
        dead_letters = target.name_of(ports.DEAD_LETTERS)
        flags += (f"--dead-letter-topic={dead_letters}", f"--max-delivery-attempts={MOST_TRIES}")
    return _subscription(target, name, topic, flags, why, gives_up=topic.gives_up, needs=(account_key(target, "push"),))


def holding_subscription(target: gcp_names.Target, topic: Topic) -> Resource:
    """Return a subscription without a push endpoint."""
    why = f"keeps {topic.does} for {topic.held_days} days, even if notify cannot process them"
    flags = _retention_flags(topic.held_days)
    return _subscription(target, gcp_names.holding_subscription(topic.name), topic, flags, why, gives_up=False)


def _retention_flags(days: int) -> tuple[str, ...]:
    return (f"--message-retention-duration={days}d", "--expiration-period=never")


def _subscription(
    target: gcp_names.Target,
    name: str,
    topic: Topic,
    flags: tuple[str, ...],
    why: str,
    *,
    gives_up: bool,
    needs: tuple[str, ...] = (),
) -> Resource:
    """Return a subscription with these flags. `gives_up` is whether they name the topic of dead letters."""
    subscription = target.name_of(name)
    digest = digest_of(topic.name, flags)
    labels = label_text(target, digest)
    cleared = () if gives_up else ("--clear-dead-letter-policy",)
    is_own = "/" not in topic.name
    of = f"--topic={target.name_of(topic.name) if is_own else topic.name}"
    # Each waits for the topic of dead letters too, which its flags may name, and which may be its own topic.
    topic_keys = (*([topic_key(target, topic.name)] if is_own else ()), topic_key(target, ports.DEAD_LETTERS))
    return Resource(
        SUBSCRIPTION,
        subscription,
        why,
        create=gcloud("pubsub subscriptions create", subscription, of, flags, f"--labels={labels}"),
        update=gcloud("pubsub subscriptions update", subscription, flags, cleared, f"--update-labels={labels}"),
        digest=digest,
        needs=(*dict.fromkeys(topic_keys), *needs),
    )


# The sources that a bus brings


NOTIFICATION: Final = "notification"
EVENT_TYPES: Final[Mapping[str, str]] = {
    "finalize": "OBJECT_FINALIZE",
    "delete": "OBJECT_DELETE",
    "archive": "OBJECT_ARCHIVE",
    "metadata_update": "OBJECT_METADATA_UPDATE",
}


def bus_topic(source: BusSource, target: gcp_names.Target) -> Topic:
    """Return the topic of a source's messages: its own, which a bucket publishes to, or the operator's."""
    if source.kind == RECOVERED_KIND:
        return Topic(source.resource_name, "events that providers could not deliver")
    if source.kind == "bucket":
        return Topic(source.resource_name, f"what happens in the bucket {source.text('bucket')}")
    name = source.text("pubsub")
    full = name if "/" in name else f"projects/{target.project}/topics/{name}"
    return Topic(full, f"messages for the source {source.source}")


def bus_source(source: BusSource, target: gcp_names.Target, url: str, timeout_seconds: float) -> Iterator[Resource]:
    """Yield what brings the source's messages to the function at `url`."""
    source_topic = bus_topic(source, target)
    push = Push(url, f"/{source.source}", ack_deadline(timeout_seconds))
    is_recovered = source.kind == RECOVERED_KIND
    why = "hands recovered events to receive" if is_recovered else f"hands messages to the source {source.source}"
    subscription = push_subscription(target, source.resource_name, source_topic, push, why)
    yield subscription
    if is_recovered or source.kind == "bucket":
        yield topic(target, source_topic)
    if source.kind == "bucket":
        yield notification(source, target, subscription)


def notification(source: BusSource, target: gcp_names.Target, subscription: Resource) -> Resource:
    """Return the bucket's notification. gcloud lets Cloud Storage publish to the topic, and to no other.

    It needs the subscription, because a topic without one keeps no message. gcloud cannot change a notification, so an
    update deletes it by Google's own name, which stands in place of ADDRESS, and creates another one.
    """
    bucket = source.text("bucket")
    topic_name = target.name_of(source.resource_name)
    types = [EVENT_TYPES[each] for each in source.events]
    prefix = source.text("prefix")
    settings = [f"--topic={topic_name}", "--payload-format=json", f"--event-types={','.join(types)}"]
    if prefix:
        settings.append(f"--object-prefix={prefix}")
    create = gcloud("storage buckets notifications create", f"gs://{bucket}", tuple(settings))
    return Resource(
        NOTIFICATION,
        notification_name(bucket, topic_name),
        f"tells the source {source.source} of objects",
        create=create,
        update=gcloud("storage buckets notifications delete", ADDRESS) + create,
        digest=digest_of(sorted(types), prefix),
        needs=(topic_key(target, source.resource_name), subscription.key),
    )


def notification_name(bucket: str, topic: str) -> str:
    """Return the name of a notification in a plan. Google's own name of it is a number."""
    return f"{bucket}/{topic}"


def listing(bucket: str) -> list[str]:
    """Return the arguments of gcloud that list a bucket's notifications."""
    return ["storage", "buckets", "notifications", "list", f"gs://{bucket}"]


def found_notification(bucket: str, topic: str, listed: jsontext.Json) -> Existing | None:
    """Return the bucket's notification to the topic, as gcloud lists it; None if there is none."""
    for entry in jsontext.objects_at(listed):
        inner = jsontext.mapping_at(entry.get("Notification Configuration", entry))
        if str(inner.get("topic")).rpartition("/")[2] == topic:
            return _existing(bucket, inner)
    return None


def _existing(bucket: str, found: jsontext.JsonObject) -> Existing:
    types = jsontext.list_at(found, "event_types")
    prefix = found.get("object_name_prefix")
    digest = digest_of(sorted(map(str, types)), prefix or "")
    return Existing(digest, address=f"projects/_/buckets/{bucket}/notificationConfigs/{found.get('id')}")
