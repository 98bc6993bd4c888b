"""The REST methods that move messages: publish, pull, acknowledge, seek and what belongs to them."""

from typing import Final

from aiohttp import web

from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.errors import ApiError, invalid, not_emulated
from deploy.dev.pubsub.fields import Fields, parse_object
from deploy.dev.pubsub.http_errors import json_answer
from deploy.dev.pubsub.leases import checked_ack_ids
from deploy.dev.pubsub.messages import drafts_from
from deploy.dev.pubsub.resource_routes import SUBSCRIPTION, TOPIC, subscription_name, topic_name
from deploy.dev.pubsub.subscriber import Subscriber
from shared.times import unix_seconds

PULL_WAIT_SECONDS: Final = 10.0
_ACK: Final = frozenset({"ackIds"})


class MessageRoutes:
    def __init__(self, pubsub: PubSub) -> None:
        self._registry = pubsub.registry
        self._broker = pubsub.broker
        self._subscriptions = pubsub.subscriptions
        self._plan = pubsub.plan

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(TOPIC + ":publish", self.publish),
            web.post(SUBSCRIPTION + ":pull", self.pull),
            web.post(SUBSCRIPTION + ":acknowledge", self.acknowledge),
            web.post(SUBSCRIPTION + ":modifyAckDeadline", self.modify_ack_deadline),
            web.post(SUBSCRIPTION + ":modifyPushConfig", self.modify_push_config),
            web.post(SUBSCRIPTION + ":seek", self.seek),
            web.post(SUBSCRIPTION + ":detach", self.detach),
        ]

    async def publish(self, request: web.Request) -> web.Response:
        drafts = drafts_from(await request.read())
        if self._plan.refuses_publish():
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        ids = await self._broker.publish(topic_name(request), drafts)
        if self._plan.loses_confirmation():
            raise ApiError("UNAVAILABLE", "The service was unable to fulfill your request (a fault on demand).")
        return json_answer({"messageIds": [*ids]})

    async def pull(self, request: web.Request) -> web.Response:
        subscriber = self._pullable(request)
        fields = Fields(parse_object(await request.read()), "", {"maxMessages", "returnImmediately"})
        most = fields.whole("maxMessages")
        if most < 1:
            raise invalid("max_messages must be a positive number.")
        wait_seconds = 0.0 if fields.flag("returnImmediately") else PULL_WAIT_SECONDS
        received = await subscriber.puller.pull(min(most, 1000), wait_seconds)
        text = f'{{"receivedMessages":[{",".join(received)}]}}' if received else "{}"
        return web.Response(body=text.encode(), content_type="application/json")

    async def acknowledge(self, request: web.Request) -> web.Response:
        subscriber = self._registry.subscriber(subscription_name(request))
        fields = Fields(parse_object(await request.read()), "", _ACK)
        subscriber.puller.acknowledge(checked_ack_ids(fields.messages("ackIds")))
        return json_answer({})

    async def modify_ack_deadline(self, request: web.Request) -> web.Response:
        subscriber = self._registry.subscriber(subscription_name(request))
        fields = Fields(parse_object(await request.read()), "", _ACK | {"ackDeadlineSeconds"})
        seconds = fields.whole("ackDeadlineSeconds")
        if not 0 <= seconds <= 600:
            raise invalid("Invalid value at 'ack_deadline_seconds': from 0 to 600 seconds.")
        subscriber.puller.modify_deadline(checked_ack_ids(fields.messages("ackIds")), seconds)
        return json_answer({})

    async def modify_push_config(self, request: web.Request) -> web.Response:
        self._subscriptions.modify_push(subscription_name(request), parse_object(await request.read()))
        return json_answer({})

    async def seek(self, request: web.Request) -> web.Response:
        fields = Fields(parse_object(await request.read()), "", {"time", "snapshot"})
        if fields.asks_for("snapshot"):
            raise not_emulated("seeking to a snapshot")
        try:
            to = unix_seconds(fields.text("time"))
        except ValueError as error:
            raise invalid("Invalid value at 'time': a time like 2026-03-01T12:00:00Z is expected.") from error
        self._subscriptions.seek(subscription_name(request), to)
        return json_answer({})

    async def detach(self, request: web.Request) -> web.Response:
        self._subscriptions.detach(subscription_name(request))
        return json_answer({})

    def _pullable(self, request: web.Request) -> Subscriber:
        subscriber = self._registry.subscriber(subscription_name(request))
        if subscriber.config.detached:
            raise ApiError("FAILED_PRECONDITION", "The subscription is detached from its topic.")
        if subscriber.config.push:
            raise ApiError("FAILED_PRECONDITION", "The subscription has a push endpoint; its messages are not pulled.")
        return subscriber
