"""Answers in JSON, and refusals in words."""

import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from deploy.dev.inspector.query import bad_request
from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject, to_json

MAX_BODY_BYTES: Final = 65_536


def json_answer(document: JsonObject) -> web.Response:
    return web.Response(body=to_json(document).encode(), content_type="application/json")


def not_found(words: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=words + "\n")


async def json_body(request: web.Request) -> JsonObject:
    """Raises HTTPBadRequest."""
    try:
        document: Json = json.loads(await request.read() or b"{}")
        to_json(document).encode()  # a lone surrogate is in no file of the state folder, and cannot be looked up
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(document, dict):
        raise bad_request("the body is a JSON object")
    return document


@web.middleware
async def faults_in_words(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Temporary as error:
        raise web.HTTPServiceUnavailable(text=error.detail + "\n") from error
    except Permanent as error:
        raise web.HTTPConflict(text=error.detail + "\n") from error
