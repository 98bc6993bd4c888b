"""Between the web framework's types and ours. Only the Google entry points import this."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.requests import Request as WebRequest
from starlette.responses import Response

from shared.errors import Rejected
from shared.http import Reply, Request

BODY_SECONDS: Final = 10.0
METHOD_KEY: Final = "hookchain.method"
"""The key of a scope that holds the request's method where the framework's router would not let it through."""


def head_of(web: WebRequest) -> Request:
    """Return the request without its body. The server leaves white space after a header's value, which is removed."""
    scope = web.scope
    client = scope.get("client")
    return Request(
        method=scope.get(METHOD_KEY, scope["method"]),
        path=scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")) for name, value in scope["headers"]
        ),
        peer=client[0] if client else "",
    )


async def read_body(web: WebRequest, max_bytes: int) -> bytes:
    """Read the body, and stop at the first byte too many. Raises Rejected: `body_too_large`, `request_timeout` or
    `disconnected`."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in web.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise Rejected("body_too_large", f"the body is larger than {max_bytes} bytes")
                chunks.append(chunk)
    except TimeoutError as error:
        raise Rejected("request_timeout", f"the body was not complete within {BODY_SECONDS:.0f} s") from error
    except ClientDisconnect as error:
        raise Rejected("disconnected", "the sender went away before the body was complete") from error
    return b"".join(chunks)


def web_reply(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    for name, value in reply.headers:
        response.headers.append(name, value)
    return response
