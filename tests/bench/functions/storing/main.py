"""The least that receive does with a large body: read it, hash it twice, parse it, and store it for good."""

import asyncio
import hashlib
import hmac
import os
import uuid
from pathlib import Path

import orjson
from functions_framework import aio
from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(os.environ["STORING_FOLDER"])


@aio.http
async def storing(request: Request) -> Response:
    body = await request.body()
    hmac.digest(b"a-secret-of-the-benchmark", body, "sha256")
    hashlib.sha256(body).hexdigest()
    orjson.loads(body)
    await asyncio.to_thread(_store, body)
    return Response(b'{"id": "0"}', media_type="application/json")


def _store(content: bytes) -> None:
    draft = FOLDER / f".{uuid.uuid4().hex}"
    with draft.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(FOLDER / draft.name[1:])
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
