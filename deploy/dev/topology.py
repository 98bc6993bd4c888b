"""The topics and subscriptions of a local bundle, and making them so over Pub/Sub's REST API.

As in a cloud account, but for two things: the functions are on this machine, and a refused message comes again after
0.5 s to 60 s instead of Google's 10 s to 600 s, so that a person who mends something does not wait for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from deploy.config.ports import function_url
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS
from shared.settings import LOCAL_PUSH_ACCOUNT

LABELS: Final[Mapping[str, str]] = {"managed-by": "hookchain"}
ACK_DEADLINE_SECONDS: Final = 60
MINIMUM_BACKOFF: Final = "0.500s"
MAXIMUM_BACKOFF: Final = "60s"
MAX_DELIVERY_ATTEMPTS: Final = 100
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Resource:
    """`name` is `projects/P/topics/T` or `projects/P/subscriptions/S`; `settings` are its other members in the API."""

    name: str
    settings: JsonObject


def topology(project: str, prefix: str, transform_port: int, notify_port: int) -> tuple[Resource, ...]:
    """In the order in which they can be made. `prefix` stands before each name, as Settings.topic_prefix says."""
    topics = {topic: f"projects/{project}/topics/{prefix}{topic}" for topic in (EVENTS, DELIVERIES, DEAD_LETTERS)}
    transform, notify = function_url(transform_port), function_url(notify_port)
    owed: JsonObject = {
        "deadLetterPolicy": {"deadLetterTopic": topics[DEAD_LETTERS], "maxDeliveryAttempts": MAX_DELIVERY_ATTEMPTS}
    }
    subscriptions = f"projects/{project}/subscriptions/{prefix}"
    return (
        *(Resource(name, {"labels": dict(LABELS)}) for name in topics.values()),
        Resource(f"{subscriptions}transform-events", _pushed(topics[EVENTS], transform, "/") | owed),
        Resource(f"{subscriptions}notify-deliveries", _pushed(topics[DELIVERIES], notify, "/") | owed),
        Resource(f"{subscriptions}notify-dead-letters", _pushed(topics[DEAD_LETTERS], notify, "/dead-letters")),
    )


def _pushed(topic: str, url: str, path: str) -> JsonObject:
    return {
        "topic": topic,
        "pushConfig": {
            "pushEndpoint": f"{url}{path}",
            "oidcToken": {"serviceAccountEmail": LOCAL_PUSH_ACCOUNT, "audience": url},
        },
        "ackDeadlineSeconds": ACK_DEADLINE_SECONDS,
        "retryPolicy": {"minimumBackoff": MINIMUM_BACKOFF, "maximumBackoff": MAXIMUM_BACKOFF},
        "labels": dict(LABELS),
    }


async def ensure(api_url: str, resources: tuple[Resource, ...]) -> None:
    """Makes what is missing, brings the rest up to date. `api_url` is `http://host:port`. Raises Temporary (`bus`)."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for resource in resources:
            url = f"{api_url}/v1/{resource.name}"
            if await _ask(session, "PUT", url, resource.settings) == 409:
                await _ask(session, "PATCH", url, _patch(resource))


def _patch(resource: Resource) -> JsonObject:
    """A subscription's topic never changes: its name says which it is."""
    changes: JsonObject = {name: value for name, value in resource.settings.items() if name != "topic"}
    kind = "topic" if "/topics/" in resource.name else "subscription"
    return {kind: changes, "updateMask": ",".join(changes)}


async def _ask(session: aiohttp.ClientSession, method: str, url: str, body: JsonObject) -> int:
    try:
        async with session.request(method, url, json=body) as answer:
            if answer.status in (200, 409):
                return answer.status
            fault = f"{answer.status}: {(await answer.text())[:500]}"
    except (aiohttp.ClientError, TimeoutError) as error:
        fault = type(error).__name__
    raise Temporary("bus", f"{method} {url} was answered {fault}")
