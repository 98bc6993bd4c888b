"""The REST methods that make, show, change and remove topics and subscriptions."""

from typing import Final

from aiohttp import web

from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.fields import parse_object
from deploy.dev.pubsub.http_errors import json_answer
from deploy.dev.pubsub.paging import page_of
from shared.jsontext import Json, JsonObject

TOPIC: Final = "/projects/{project}/topics/{topic:[^/:]+}"
SUBSCRIPTION: Final = "/projects/{project}/subscriptions/{subscription:[^/:]+}"


def topic_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/topics/{request.match_info['topic']}"


def subscription_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/subscriptions/{request.match_info['subscription']}"


class ResourceRoutes:
    def __init__(self, pubsub: PubSub) -> None:
        self._registry = pubsub.registry
        self._topics = pubsub.topics
        self._subscriptions = pubsub.subscriptions

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put(TOPIC, self.create_topic),
            web.get(TOPIC, self.get_topic, allow_head=False),
            web.patch(TOPIC, self.patch_topic),
            web.delete(TOPIC, self.delete_topic),
            web.get("/projects/{project}/topics", self.list_topics, allow_head=False),
            web.get(TOPIC + "/subscriptions", self.list_topic_subscriptions, allow_head=False),
            web.put(SUBSCRIPTION, self.create_subscription),
            web.get(SUBSCRIPTION, self.get_subscription, allow_head=False),
            web.patch(SUBSCRIPTION, self.patch_subscription),
            web.delete(SUBSCRIPTION, self.delete_subscription),
            web.get("/projects/{project}/subscriptions", self.list_subscriptions, allow_head=False),
        ]

    async def create_topic(self, request: web.Request) -> web.Response:
        return json_answer(self._topics.create(topic_name(request), parse_object(await request.read())))

    async def get_topic(self, request: web.Request) -> web.Response:
        return json_answer(self._registry.topic(topic_name(request)).resource)

    async def patch_topic(self, request: web.Request) -> web.Response:
        return json_answer(self._topics.patch(topic_name(request), await _patch_body(request)))

    async def delete_topic(self, request: web.Request) -> web.Response:
        self._topics.delete(topic_name(request))
        return json_answer({})

    async def list_topics(self, request: web.Request) -> web.Response:
        found = {name: topic.resource for name, topic in self._registry.topics.items() if _is_within(name, request)}
        return _list_answer(request, "topics", {name: dict(resource) for name, resource in found.items()})

    async def list_topic_subscriptions(self, request: web.Request) -> web.Response:
        topic = self._registry.topic(topic_name(request))
        names = [subscriber.config.name for subscriber in self._registry.subscribers_of(topic.name)]
        return _list_answer(request, "subscriptions", {name: name for name in names})

    async def create_subscription(self, request: web.Request) -> web.Response:
        body = parse_object(await request.read())
        return json_answer(self._subscriptions.create(subscription_name(request), body))

    async def get_subscription(self, request: web.Request) -> web.Response:
        return json_answer(self._registry.subscriber(subscription_name(request)).config.resource)

    async def patch_subscription(self, request: web.Request) -> web.Response:
        return json_answer(self._subscriptions.patch(subscription_name(request), await _patch_body(request)))

    async def delete_subscription(self, request: web.Request) -> web.Response:
        await self._subscriptions.delete(subscription_name(request))
        return json_answer({})

    async def list_subscriptions(self, request: web.Request) -> web.Response:
        found = {n: s.config.resource for n, s in self._registry.subscribers.items() if _is_within(n, request)}
        return _list_answer(request, "subscriptions", {name: dict(resource) for name, resource in found.items()})


async def _patch_body(request: web.Request) -> JsonObject:
    """The mask may stand in the URL's query, too."""
    body = parse_object(await request.read())
    if "updateMask" in request.query:
        body["updateMask"] = request.query["updateMask"]
    return body


def _is_within(name: str, request: web.Request) -> bool:
    return name.startswith(f"projects/{request.match_info['project']}/")


def _list_answer(request: web.Request, member: str, found: dict[str, Json]) -> web.Response:
    """Empty lists and tokens are left out, as Google leaves them."""
    names, token = page_of(found, request.query.get("pageSize", ""), request.query.get("pageToken", ""))
    document: JsonObject = {}
    if names:
        document[member] = [found[name] for name in names]
    if token:
        document["nextPageToken"] = token
    return json_answer(document)
