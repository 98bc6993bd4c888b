"""The subscriptions and notifications of buckets that bring the messages of other systems to receive.

The topics and buckets themselves are the operator's, and are never made or deleted here.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.gcp.resource import ADDRESS, Command, Existing, Resource, digest_of, one
from deploy.gcp.resources import topics
from deploy.gcp.resources.topics import Push
from deploy.google import names
from deploy.google.target import Target
from deploy.topology.buses import BusSource
from deploy.topology.topics import Topic
from shared.jsontext import Json, JsonObject

NOTIFICATION: Final = "notification"
EVENT_TYPES: Final[Mapping[str, str]] = {
    "finalize": "OBJECT_FINALIZE",
    "delete": "OBJECT_DELETE",
    "archive": "OBJECT_ARCHIVE",
    "metadata_update": "OBJECT_METADATA_UPDATE",
}


def bus_topic(source: BusSource, target: Target) -> Topic:
    """Return the topic of a source's messages: its own, which a bucket publishes to, or the operator's."""
    if source.kind == "bucket":
        return Topic(source.name, f"what happens in the bucket {source.text('bucket')}")
    name = source.text("pubsub")
    full = name if "/" in name else f"projects/{target.project}/topics/{name}"
    return Topic(full, f"messages for the source {source.source}")


def bus_source(source: BusSource, target: Target, url: str, timeout_seconds: float) -> Iterator[Resource]:
    """Yield what brings the source's messages to the function at `url`."""
    topic = bus_topic(source, target)
    push = Push(url, f"/{source.source}", topics.ack_deadline(timeout_seconds))
    why = f"hands messages to the source {source.source}"
    subscription = topics.push_subscription(target, source.name, topic, push, why)
    yield subscription
    if source.kind == "bucket":
        yield topics.topic(target, topic)
        yield notification(source, target, subscription.key)


def notification(source: BusSource, target: Target, subscription: str) -> Resource:
    """Return the bucket's notification. gcloud lets Cloud Storage publish to the topic, and to no other."""
    bucket, topic = source.text("bucket"), names.topic(target, source.name)
    types, prefix = [EVENT_TYPES[each] for each in source.events], source.text("prefix")
    settings = (f"--event-types={','.join(types)}", *((f"--object-prefix={prefix}",) if prefix else ()))
    command = ("storage", "buckets", "notifications")
    create = Command((*command, "create", f"gs://{bucket}", f"--topic={topic}", "--payload-format=json", *settings))
    return Resource(
        NOTIFICATION,
        notification_name(bucket, topic),
        f"tells the source {source.source} of objects",
        (create,),
        (*one(*command, "delete", ADDRESS), create),
        digest_of(sorted(types), prefix),
        needs=(topics.topic_key(target, source.name), subscription),
    )


def notification_name(bucket: str, topic: str) -> str:
    return f"{bucket}/{topic}"


def listing(bucket: str) -> list[str]:
    """Return the arguments of gcloud that list a bucket's notifications."""
    return ["storage", "buckets", "notifications", "list", f"gs://{bucket}"]


def found_notification(bucket: str, topic: str, listed: Json) -> Existing | None:
    """Return the bucket's notification to the topic, as gcloud lists it; None if there is none."""
    for entry in listed if isinstance(listed, list) else []:
        inner = entry.get("Notification Configuration", entry) if isinstance(entry, dict) else None
        if isinstance(inner, dict) and str(inner.get("topic")).rpartition("/")[2] == topic:
            return _existing(bucket, inner)
    return None


def _existing(bucket: str, found: JsonObject) -> Existing:
    types = found.get("event_types")
    prefix = found.get("object_name_prefix")
    digest = digest_of(sorted(map(str, types)) if isinstance(types, list) else [], prefix or "")
    return Existing(digest, address=f"projects/_/buckets/{bucket}/notificationConfigs/{found.get('id')}")
