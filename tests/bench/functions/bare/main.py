"""The least that an asynchronous function does: it reads the body and answers. All costs are multiples of its cost."""

from functions_framework import aio
from starlette.requests import Request
from starlette.responses import Response


@aio.http
async def bare(request: Request) -> Response:
    await request.body()
    return Response(b'{"id": "0"}', media_type="application/json")
