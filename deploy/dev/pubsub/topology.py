"""The topics and subscriptions of `hookchain dev`.

They are those of a cloud account, with three differences. The functions are on this machine. A message that a function
does not acknowledge is delivered again after 0.5 s to 60 s instead of Google's 10 s to 600 s, so that a person who
fixes something does not wait. A message is kept for 31 days instead of 7, because a machine may be off for more than a
week, or a restored backup may wait for `hookchain resume --all`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from deploy.config.local_ports import Ports, function_url
from deploy.dev.pubsub.resources import DAY_SECONDS
from deploy.requests.sources import dev_topic
from deploy.topology.buses import bus_sources
from deploy.topology.topology import MOST_TRIES
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, TOPIC_NAMES
from shared.settings import LOCAL_PROJECT, LOCAL_PUSH_ACCOUNT

LABELS: Final[Mapping[str, str]] = {"managed-by": "hookchain"}
ACK_DEADLINE_SECONDS: Final = 60
MINIMUM_BACKOFF: Final = "0.500s"
MAXIMUM_BACKOFF: Final = "60s"
RETENTION: Final = f"{31 * DAY_SECONDS}s"
"""The longest that Pub/Sub accepts."""


class Resource(NamedTuple):
    """A topic or subscription. `name` is `projects/P/topics/T` or the like; `settings` are its other JSON members."""

    name: str
    settings: JsonObject


def local_topology(ports: Ports, receive: JsonObject) -> tuple[Resource, ...]:
    """Return the resources of `hookchain dev`, also those of the sources of receive's slice."""
    own = topology(LOCAL_PROJECT, "", ports.transform, ports.notify)
    return (*own, *bus_topology(LOCAL_PROJECT, ports.receive, receive))


def topology(project: str, prefix: str, transform_port: int, notify_port: int) -> tuple[Resource, ...]:
    """Return them in the order in which they can be created. `prefix` precedes each name: Settings.topic_prefix."""
    topics = {topic: f"projects/{project}/topics/{prefix}{topic}" for topic in TOPIC_NAMES}
    transform, notify = function_url(transform_port), function_url(notify_port)
    with_dead_letters: JsonObject = {
        "deadLetterPolicy": {"deadLetterTopic": topics[DEAD_LETTERS], "maxDeliveryAttempts": MOST_TRIES}
    }
    subscriptions = f"projects/{project}/subscriptions/{prefix}"
    return (
        *(Resource(name, {"labels": dict(LABELS)}) for name in topics.values()),
        Resource(f"{subscriptions}transform-events", _pushed(topics[EVENTS], transform, "/") | with_dead_letters),
        Resource(f"{subscriptions}notify-deliveries", _pushed(topics[DELIVERIES], notify, "/") | with_dead_letters),
        Resource(f"{subscriptions}notify-dead-letters", _pushed(topics[DEAD_LETTERS], notify, "/dead-letters")),
    )


def bus_topology(project: str, receive_port: int, receive: JsonObject) -> tuple[Resource, ...]:
    """Return a topic for each source of receive's slice that has a bus, and the subscription that pushes to receive."""
    found: list[Resource] = []
    for source in bus_sources(receive):
        topic = f"projects/{project}/topics/{dev_topic({'bus': source.settings})}"
        letters: JsonObject = {"deadLetterTopic": f"projects/{project}/topics/{DEAD_LETTERS}"}
        pushed = _pushed(topic, function_url(receive_port), f"/{source.source}")
        policy: JsonObject = {"deadLetterPolicy": {**letters, "maxDeliveryAttempts": MOST_TRIES}}
        found.append(Resource(topic, {"labels": dict(LABELS)}))
        found.append(Resource(f"projects/{project}/subscriptions/{source.resource_name}", {**pushed, **policy}))
    return tuple(found)


def _pushed(topic: str, url: str, path: str) -> JsonObject:
    return {
        "topic": topic,
        "pushConfig": {
            "pushEndpoint": f"{url}{path}",
            "oidcToken": {"serviceAccountEmail": LOCAL_PUSH_ACCOUNT, "audience": url},
        },
        "ackDeadlineSeconds": ACK_DEADLINE_SECONDS,
        "messageRetentionDuration": RETENTION,
        "retryPolicy": {"minimumBackoff": MINIMUM_BACKOFF, "maximumBackoff": MAXIMUM_BACKOFF},
        "labels": dict(LABELS),
    }
