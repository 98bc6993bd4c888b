"""Whatever goes wrong under /v1 is answered in Google's form."""

import sqlite3
from collections.abc import Awaitable, Callable

from aiohttp import web

from deploy.dev.pubsub.errors import ApiError, invalid, not_emulated
from shared.errors import Temporary
from shared.jsontext import JsonObject, to_json
from shared.logs import log


def json_answer(document: JsonObject, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(document).encode(), content_type="application/json")


@web.middleware
async def google_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return json_answer(error.document(), error.http_code)
    except Temporary as error:
        return _answer(ApiError("UNAVAILABLE", error.detail))
    except sqlite3.Error as error:
        log("ERROR", "the emulated bus cannot use its file", detail=str(error))
        return _answer(ApiError("UNAVAILABLE", f"The emulated bus cannot use its file: {error}"))
    except web.HTTPRequestEntityTooLarge:
        return _answer(invalid("Request payload size exceeds the limit: 10485760 bytes."))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return _answer(not_emulated(f"{request.method} {request.path}"))


def _answer(error: ApiError) -> web.Response:
    return json_answer(error.document(), error.http_code)
