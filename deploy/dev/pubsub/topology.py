"""The topics and subscriptions of `hookchain dev`, created or updated over Pub/Sub's REST API.

They are those of a cloud account, with three differences. The functions are on this machine. A message that a function
does not acknowledge is delivered again after 0.5 s to 60 s instead of Google's 10 s to 600 s, so that a person who
fixes something does not wait. A message is kept for 31 days instead of 7, because a machine may be off for more than a
week, or a restored backup may wait for `hookchain resume --all`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from deploy.config.running_dev import function_url
from deploy.config.sections.bus_source import PREFIX
from deploy.dev.pubsub.resources import DAY_SECONDS
from deploy.requests.sources import dev_topic
from deploy.topology.buses import bus_sources
from deploy.topology.topology import MOST_TRIES
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, TOPIC_NAMES
from shared.settings import LOCAL_PUSH_ACCOUNT

LABELS: Final[Mapping[str, str]] = {"managed-by": "hookchain"}
ACK_DEADLINE_SECONDS: Final = 60
MINIMUM_BACKOFF: Final = "0.500s"
MAXIMUM_BACKOFF: Final = "60s"
RETENTION: Final = f"{31 * DAY_SECONDS}s"
"""The longest that Pub/Sub accepts."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)


@dataclass(frozen=True, slots=True)
class Resource:
    """A topic or subscription. `name` is `projects/P/topics/T` or the like; `settings` are its other JSON members."""

    name: str
    settings: JsonObject


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
        found.append(Resource(f"projects/{project}/subscriptions/{source.name}", {**pushed, **policy}))
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


async def ensure(api_url: str, resources: tuple[Resource, ...]) -> None:
    """Create what is missing and update the rest. `api_url` is `http://host:port`. Raises Temporary."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for resource in resources:
            url = f"{api_url}/v1/{resource.name}"
            status = await _send(session, "PUT", url, resource.settings)
            if status == 409 and "/subscriptions/" in resource.name:  # a topic has nothing that changes
                await _send(session, "PATCH", url, _patch(resource))


async def remove_others(api_url: str, project: str, resources: tuple[Resource, ...]) -> None:
    """Delete the subscriptions of sources that are not among the resources any more. Raises Temporary."""
    place, kept = f"projects/{project}/subscriptions", {each.name for each in resources}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for name in await _listed(session, f"{api_url}/v1/{place}"):
            if name.startswith(f"{place}/{PREFIX}") and name not in kept:
                await _send(session, "DELETE", f"{api_url}/v1/{name}", {})


async def _listed(session: aiohttp.ClientSession, url: str) -> list[str]:
    try:
        async with session.get(url) as answer:
            document = await answer.json() if answer.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Temporary("bus_unavailable", f"GET {url} was answered {type(error).__name__}") from error
    return [str(each["name"]) for each in document.get("subscriptions", [])]


def _patch(resource: Resource) -> JsonObject:
    """Return the body of a PATCH. A subscription's topic is fixed by its name, so it never changes."""
    changes: JsonObject = {name: value for name, value in resource.settings.items() if name != "topic"}
    return {"subscription": changes, "updateMask": ",".join(changes)}


async def _send(session: aiohttp.ClientSession, method: str, url: str, body: JsonObject) -> int:
    try:
        async with session.request(method, url, json=body) as answer:
            if answer.status in (200, 409):
                return answer.status
            fault = f"{answer.status}: {(await answer.text())[:500]}"
    except (aiohttp.ClientError, TimeoutError) as error:
        fault = type(error).__name__
    raise Temporary("bus_unavailable", f"{method} {url} was answered {fault}")
