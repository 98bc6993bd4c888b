"""The REST API of the emulated Pub/Sub, as an aiohttp application to be mounted at /v1."""

import base64
import binascii
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiohttp import web

from deploy.dev.direct_http import Call, Handler
from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.google_json import ApiError, Fields, invalid, not_emulated, parse_object
from deploy.dev.pubsub.messages import drafts_from
from deploy.dev.pubsub.puller import checked_ack_ids
from shared.errors import Temporary
from shared.http import Reply, json_reply
from shared.jsontext import Json, JsonObject, to_json
from shared.logs import log

MAX_BODY_BYTES: Final = 16 * 2**20
"""A publish of Google's largest size, in base64."""
PULL_WAIT_SECONDS: Final = 10.0
DEFAULT_PAGE: Final = 100
MOST_PAGE: Final = 1000

_TOPICS: Final = "/projects/{project}/topics"
_TOPIC: Final = _TOPICS + "/{topic:[^/:]+}"
_SUBSCRIPTIONS: Final = "/projects/{project}/subscriptions"
_SUBSCRIPTION: Final = _SUBSCRIPTIONS + "/{subscription:[^/:]+}"


@web.middleware
async def google_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error in Google's form; what is not emulated is 501 UNIMPLEMENTED."""
    try:
        return await handler(request)
    except (ApiError, Temporary, sqlite3.Error) as error:
        fault = as_api_error(error)
    except web.HTTPRequestEntityTooLarge:
        fault = invalid("Request payload size exceeds the limit: 10485760 bytes.")
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        fault = not_emulated(f"{request.method} {request.path}")
    return _json_answer(fault.document(), fault.http_code)


def as_api_error(error: ApiError | Temporary | sqlite3.Error) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Temporary):
        return ApiError("UNAVAILABLE", error.detail)
    log("ERROR", "the emulated bus cannot use its file", detail=str(error))
    return ApiError("UNAVAILABLE", f"The emulated bus cannot use its file: {error}")


class PubSubApi:
    def __init__(self, pubsub: PubSub) -> None:
        self._registry = pubsub.registry
        self._broker = pubsub.broker
        self._administration = pubsub.administration
        self._plan = pubsub.plan

    def app(self) -> web.Application:
        app = web.Application(middlewares=[google_errors], client_max_size=MAX_BODY_BYTES)
        app.add_routes(self._routes())
        return app

    def find_direct(self, path: str) -> Handler | None:
        """Return the handler of a publish to a topic that exists."""
        return self._publish_directly if _published_topic(path) in self._registry.topics else None

    def _routes(self) -> list[web.RouteDef]:
        # A request is compared with them in order, so those that each message calls come first.
        return [
            web.post(_TOPIC + ":publish", self.publish),
            web.post(_SUBSCRIPTION + ":pull", self.pull),
            web.post(_SUBSCRIPTION + ":acknowledge", self.acknowledge),
            web.post(_SUBSCRIPTION + ":modifyAckDeadline", self.modify_ack_deadline),
            web.post(_SUBSCRIPTION + ":modifyPushConfig", self.modify_push_config),
            web.put(_TOPIC, self.create_topic),
            web.get(_TOPIC, self.get_topic, allow_head=False),
            web.patch(_TOPIC, self.patch_topic),
            web.delete(_TOPIC, self.delete_topic),
            web.get(_TOPICS, self.list_topics, allow_head=False),
            web.get(_TOPIC + "/subscriptions", self.list_topic_subscriptions, allow_head=False),
            web.put(_SUBSCRIPTION, self.create_subscription),
            web.get(_SUBSCRIPTION, self.get_subscription, allow_head=False),
            web.patch(_SUBSCRIPTION, self.patch_subscription),
            web.delete(_SUBSCRIPTION, self.delete_subscription),
            web.get(_SUBSCRIPTIONS, self.list_subscriptions, allow_head=False),
        ]

    async def publish(self, request: web.Request) -> web.Response:
        return _json_answer(await self._publish(_topic_name(request), await request.read()))

    async def _publish_directly(self, call: Call) -> Reply:
        try:
            return json_reply(200, await self._publish(_published_topic(call.path), call.body))
        except (ApiError, Temporary, sqlite3.Error) as error:
            fault = as_api_error(error)
            return json_reply(fault.http_code, fault.document())

    async def _publish(self, topic: str, body: bytes) -> JsonObject:
        drafts = drafts_from(body)
        if self._plan.rejects_publish():
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        ids = await self._broker.publish(topic, drafts)
        if self._plan.loses_confirmation():
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        return {"messageIds": [*ids]}

    async def pull(self, request: web.Request) -> web.Response:
        subscriber = self._registry.subscriber(_subscription_name(request))
        if subscriber.config.push:
            raise ApiError("FAILED_PRECONDITION", "The subscription has a push endpoint; its messages are not pulled.")
        fields = Fields(parse_object(await request.read()), "", {"maxMessages", "returnImmediately"})
        most = fields.whole("maxMessages")
        if most < 1:
            raise invalid("max_messages must be a positive number.")
        wait_seconds = 0.0 if fields.flag("returnImmediately") else PULL_WAIT_SECONDS
        received = await subscriber.puller.pull(min(most, 1000), wait_seconds)
        text = f'{{"receivedMessages":[{",".join(received)}]}}' if received else "{}"
        return web.Response(body=text.encode(), content_type="application/json")

    async def acknowledge(self, request: web.Request) -> web.Response:
        subscriber = self._registry.subscriber(_subscription_name(request))
        fields = Fields(parse_object(await request.read()), "", {"ackIds"})
        subscriber.puller.acknowledge(checked_ack_ids(fields.messages("ackIds")))
        return _json_answer({})

    async def modify_ack_deadline(self, request: web.Request) -> web.Response:
        subscriber = self._registry.subscriber(_subscription_name(request))
        fields = Fields(parse_object(await request.read()), "", {"ackIds", "ackDeadlineSeconds"})
        seconds = fields.whole("ackDeadlineSeconds")
        if not 0 <= seconds <= 600:
            raise invalid("Invalid value at 'ack_deadline_seconds': from 0 to 600 seconds.")
        subscriber.puller.modify_deadline(checked_ack_ids(fields.messages("ackIds")), seconds)
        return _json_answer({})

    async def modify_push_config(self, request: web.Request) -> web.Response:
        self._administration.modify_push(_subscription_name(request), parse_object(await request.read()))
        return _json_answer({})

    async def create_topic(self, request: web.Request) -> web.Response:
        body = parse_object(await request.read())
        return _json_answer(self._administration.create_topic(_topic_name(request), body))

    async def get_topic(self, request: web.Request) -> web.Response:
        return _json_answer(self._registry.topic(_topic_name(request)).resource)

    async def patch_topic(self, request: web.Request) -> web.Response:
        return _json_answer(self._administration.patch_topic(_topic_name(request), await _patch_body(request)))

    async def delete_topic(self, request: web.Request) -> web.Response:
        self._administration.delete_topic(_topic_name(request))
        return _json_answer({})

    async def list_topics(self, request: web.Request) -> web.Response:
        return _list_answer(request, "topics", {n: topic.resource for n, topic in self._registry.topics.items()})

    async def list_topic_subscriptions(self, request: web.Request) -> web.Response:
        topic = self._registry.topic(_topic_name(request))
        names = [subscriber.config.name for subscriber in self._registry.subscribers_of(topic.name)]
        return _list_answer(request, "subscriptions", {name: name for name in names})

    async def create_subscription(self, request: web.Request) -> web.Response:
        body = parse_object(await request.read())
        return _json_answer(self._administration.create_subscription(_subscription_name(request), body))

    async def get_subscription(self, request: web.Request) -> web.Response:
        return _json_answer(self._registry.subscriber(_subscription_name(request)).config.resource)

    async def patch_subscription(self, request: web.Request) -> web.Response:
        body = await _patch_body(request)
        return _json_answer(self._administration.patch_subscription(_subscription_name(request), body))

    async def delete_subscription(self, request: web.Request) -> web.Response:
        await self._administration.delete_subscription(_subscription_name(request))
        return _json_answer({})

    async def list_subscriptions(self, request: web.Request) -> web.Response:
        found = {name: subscriber.config.resource for name, subscriber in self._registry.subscribers.items()}
        return _list_answer(request, "subscriptions", found)


def _published_topic(path: str) -> str:
    """Return the topic of `/v1/<topic>:publish`, or an empty text for any other path."""
    return path.removeprefix("/v1/").removesuffix(":publish") if path.endswith(":publish") else ""


def _topic_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/topics/{request.match_info['topic']}"


def _subscription_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/subscriptions/{request.match_info['subscription']}"


async def _patch_body(request: web.Request) -> JsonObject:
    """Return a patch's body; the update mask may be in the URL's query too."""
    body = parse_object(await request.read())
    if "updateMask" in request.query:
        body["updateMask"] = request.query["updateMask"]
    return body


def _json_answer(document: JsonObject, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(document).encode(), content_type="application/json")


def _list_answer(request: web.Request, member: str, found: Mapping[str, Json]) -> web.Response:
    """Answer one page of the project's resources. Empty lists and tokens are left out, as at Google."""
    names = [name for name in found if name.startswith(f"projects/{request.match_info['project']}/")]
    page, token = page_of(names, request.query.get("pageSize", ""), request.query.get("pageToken", ""))
    document: JsonObject = {}
    if page:
        document[member] = [found[name] for name in page]
    if token:
        document["nextPageToken"] = token
    return _json_answer(document)


def page_of(names: Iterable[str], page_size: str, page_token: str) -> tuple[list[str], str]:
    """Return a page of names and the next page's token, empty after the last page. Raises ApiError.

    A token is the name after which the page begins.
    """
    if page_size and not (page_size.isdecimal() and len(page_size) < 10):
        raise invalid("Invalid value at 'page_size': a whole number is expected.")
    size = min(int(page_size or 0) or DEFAULT_PAGE, MOST_PAGE)
    try:
        after = base64.b64decode(page_token, b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid("Invalid value at 'page_token': it is not one that a list answered.") from error
    rest = [name for name in sorted(names) if name > after]
    if len(rest) <= size:
        return rest, ""
    return rest[:size], base64.urlsafe_b64encode(rest[size - 1].encode()).decode()
