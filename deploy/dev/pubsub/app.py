"""The emulated Pub/Sub as an aiohttp application, to be mounted at /v1."""

from aiohttp import web

from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.http_errors import google_errors
from deploy.dev.pubsub.message_routes import MessageRoutes
from deploy.dev.pubsub.resource_routes import ResourceRoutes

# A publish of Google's largest size, in base64.
MAX_BODY_BYTES = 16 * 2**20


def pubsub_app(pubsub: PubSub) -> web.Application:
    app = web.Application(middlewares=[google_errors], client_max_size=MAX_BODY_BYTES)
    # Those that are called for every message come first: a request is matched against them in order.
    app.add_routes(MessageRoutes(pubsub).routes())
    app.add_routes(ResourceRoutes(pubsub).routes())
    return app
