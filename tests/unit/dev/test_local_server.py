"""The ports of local services: what a client leaves half done is bounded in time."""

import asyncio

import pytest
from aiohttp import web

from deploy.dev import local_server
from deploy.dev.local_server import LocalSite
from tests.running.ports import free_port


async def _echo(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


@pytest.mark.parametrize(
    ("sent", "other_user", "answer"),
    [
        (b"", False, b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\n", False, b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nPOST", False, b"HTTP/1.1 200 OK"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", False, b"HTTP/1.1 408 Request Timeout"),
        (b"", True, b""),
    ],
    ids=["nothing", "half a head", "half a second head", "half a body", "nothing of another user"],
)
async def test_what_a_client_leaves_half_done_is_cut_off(
    sent: bytes, other_user: bool, answer: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local_server, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(local_server, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(local_server, "is_other_user", lambda *_: other_user)
    app = web.Application()
    app.router.add_post("/", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await LocalSite(runner, port).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(5):
        read = await reader.read()
    writer.close()
    await runner.cleanup()
    assert caplog.text == ""
    assert read.partition(b"\r\n")[0] == answer
