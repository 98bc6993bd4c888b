"""The REST API of the emulated Pub/Sub, as an aiohttp application to be mounted at /v1.

It has what `hookchain dev` and a local client use: topics and subscriptions, publish, and pull with acknowledgement.
"""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field

from deploy.dev.local_server import json_answer
from deploy.dev.pubsub import broker, messages, resources
from deploy.dev.pubsub.resources import ApiError, invalid, not_emulated, parse_object, read_members
from shared import errors, logs
from shared.jsontext import Json, JsonObject

MAX_BODY_BYTES: Final = 16 * 2**20
"""A publish of Google's largest size, in base64."""
PULL_WAIT_SECONDS: Final = 10.0

_TOPICS: Final = "/projects/{project}/topics"
_TOPIC: Final = _TOPICS + "/{topic:[^/:]+}"
_SUBSCRIPTIONS: Final = "/projects/{project}/subscriptions"
_SUBSCRIPTION: Final = _SUBSCRIPTIONS + "/{subscription:[^/:]+}"


@web.middleware
async def google_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in Google's form; a request that is not emulated gets 501 UNIMPLEMENTED."""
    try:
        return await handler(request)
    except ApiError as error:
        fault = error
    except errors.Temporary as error:
        fault = ApiError("UNAVAILABLE", error.detail)
    except sqlite3.Error as error:
        logs.log("ERROR", "the local bus cannot use its file", detail=str(error))
        fault = ApiError("UNAVAILABLE", f"The local bus cannot use its file: {error}")
    except web.HTTPRequestEntityTooLarge:
        fault = invalid("Request payload size exceeds the limit: 10485760 bytes.")
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        fault = not_emulated(f"{request.method} {request.path}")
    return json_answer(fault.document, fault.http_code)


class _Pull(resources.Members):
    most: Annotated[int, Field(alias="maxMessages", ge=1)]
    is_immediate: Annotated[bool, Field(alias="returnImmediately")] = False


class _Acknowledge(resources.Members):
    """The ids are those that a pull returned. One whose lease has ended is valid, as at Google."""

    ids: Annotated[list[Annotated[str, Field(pattern=r"^\d{1,20}-\d{1,20}$")]], Field(alias="ackIds", min_length=1)]


class _ModifyAckDeadline(_Acknowledge):
    seconds: Annotated[int, Field(alias="ackDeadlineSeconds", ge=0, le=resources.MAX_ACK_DEADLINE_SECONDS)] = 0


class PubSubApi:
    """The API's handlers over an emulated Pub/Sub. They run on its event loop."""

    def __init__(self, pubsub: broker.PubSub) -> None:
        self._pubsub = pubsub
        self._broker = pubsub.broker

    def app(self) -> web.Application:
        app = web.Application(middlewares=[google_errors], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            # A request is compared with the routes in order, so those that each message needs come first.
            [
                web.post(_TOPIC + ":publish", self.publish),
                web.post(_SUBSCRIPTION + ":pull", self.pull),
                web.post(_SUBSCRIPTION + ":acknowledge", self.acknowledge),
                web.post(_SUBSCRIPTION + ":modifyAckDeadline", self.modify_ack_deadline),
                web.put(_TOPIC, self.create_topic),
                web.get(_TOPIC, self.get_topic, allow_head=False),
                web.get(_TOPICS, self.list_topics, allow_head=False),
                web.put(_SUBSCRIPTION, self.create_subscription),
                web.get(_SUBSCRIPTION, self.get_subscription, allow_head=False),
                web.patch(_SUBSCRIPTION, self.patch_subscription),
                web.delete(_SUBSCRIPTION, self.delete_subscription),
                web.get(_SUBSCRIPTIONS, self.list_subscriptions, allow_head=False),
            ]
        )
        return app

    async def publish(self, request: web.Request) -> web.Response:
        drafts = messages.drafts_from(await request.read())
        plan = self._pubsub.plan
        if plan.happens(plan.faults.unavailable):
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        ids = await self._broker.publish(_topic_name(request), drafts)
        if plan.happens(plan.faults.unconfirmed):
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        return json_answer({"messageIds": [*ids]})

    async def pull(self, request: web.Request) -> web.Response:
        subscriber = self._broker.subscriber(_subscription_name(request))
        if subscriber.config.push:
            raise ApiError("FAILED_PRECONDITION", "The subscription has a push endpoint; its messages are not pulled.")
        wanted = read_members(_Pull, parse_object(await request.read()))
        wait_seconds = 0.0 if wanted.is_immediate else PULL_WAIT_SECONDS
        received = await subscriber.puller.pull(min(wanted.most, 1000), wait_seconds)
        text = f'{{"receivedMessages":[{",".join(received)}]}}' if received else "{}"
        return web.Response(body=text.encode(), content_type="application/json")

    async def acknowledge(self, request: web.Request) -> web.Response:
        subscriber = self._broker.subscriber(_subscription_name(request))
        subscriber.puller.acknowledge(read_members(_Acknowledge, parse_object(await request.read())).ids)
        return json_answer({})

    async def modify_ack_deadline(self, request: web.Request) -> web.Response:
        subscriber = self._broker.subscriber(_subscription_name(request))
        wanted = read_members(_ModifyAckDeadline, parse_object(await request.read()))
        subscriber.puller.modify_deadline(wanted.ids, wanted.seconds)
        return json_answer({})

    async def create_topic(self, request: web.Request) -> web.Response:
        body = parse_object(await request.read())
        return json_answer(self._pubsub.create_topic(_topic_name(request), body))

    async def get_topic(self, request: web.Request) -> web.Response:
        return json_answer(self._broker.topic(_topic_name(request)))

    async def list_topics(self, request: web.Request) -> web.Response:
        return _list_answer(request, "topics", self._broker.topics)

    async def create_subscription(self, request: web.Request) -> web.Response:
        body = parse_object(await request.read())
        return json_answer(self._pubsub.create_subscription(_subscription_name(request), body))

    async def get_subscription(self, request: web.Request) -> web.Response:
        return json_answer(self._broker.subscriber(_subscription_name(request)).config.resource)

    async def patch_subscription(self, request: web.Request) -> web.Response:
        """Change the settings that the update mask names; the mask may be in the URL's query too."""
        body = parse_object(await request.read())
        if "updateMask" in request.query:
            body["updateMask"] = request.query["updateMask"]
        return json_answer(self._pubsub.patch_subscription(_subscription_name(request), body))

    async def delete_subscription(self, request: web.Request) -> web.Response:
        await self._pubsub.delete_subscription(_subscription_name(request))
        return json_answer({})

    async def list_subscriptions(self, request: web.Request) -> web.Response:
        resources = {name: subscriber.config.resource for name, subscriber in self._broker.subscribers.items()}
        return _list_answer(request, "subscriptions", resources)


def _topic_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/topics/{request.match_info['topic']}"


def _subscription_name(request: web.Request) -> str:
    return f"projects/{request.match_info['project']}/subscriptions/{request.match_info['subscription']}"


def _list_answer(request: web.Request, member: str, resources: Mapping[str, JsonObject]) -> web.Response:
    """Answer all of the project's resources on one page. An empty list is left out, as at Google."""
    prefix = f"projects/{request.match_info['project']}/"
    listed: list[Json] = [resources[name] for name in sorted(resources) if name.startswith(prefix)]
    return json_answer({member: listed} if listed else {})
