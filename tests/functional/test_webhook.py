"""Webhooks through notify, the engine and real connections: receivers that answer well, badly, slowly or not at all."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from functions.notify.destinations.webhook import webhook
from functions.notify.http_kind import compile_settings
from functions.notify.notifier import Result
from functions.notify.read_destinations import read_destinations
from functions.notify.registry import Destinations
from shared.jsontext import JsonObject
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.fakes.destinations import a_context
from tests.fakes.notifier import FakeNotifier
from tests.fakes.secrets import FakeSecrets

Handle = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiver(handle: Handle) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield its URL, and the requests that it got."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        requests.append(head + await reader.readexactly(length))
        try:
            await handle(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in", requests


def answering(status: int, body: bytes = b"", *headers: str) -> Handle:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *headers))
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
        await writer.drain()

    return answer


def notifier_for(url: str) -> FakeNotifier:
    secrets = FakeSecrets({"crm-signing": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    fetch = GuardedFetch()
    written: JsonObject = {
        "kind": "webhook",
        "settings": compile_settings(webhook, {"url": url, "allow_private": True, "secret": "crm-signing"}),
        "retry_seconds": [5, 300],
        "timeout_seconds": 1.0,
        "on_unknown": "resend",
    }
    context = replace(a_context(), secrets=secrets, fetch=lambda: fetch)
    return FakeNotifier(destinations=Destinations(read_destinations({"destinations": {"crm": written}}), context))


async def delivered(handle: Handle) -> Result:
    async with receiver(handle) as (url, _):
        return await notifier_for(url).take()


async def test_a_webhook_arrives_with_its_signature() -> None:
    async with receiver(answering(200, b"thanks")) as (url, requests):
        notifier = notifier_for(url)
        assert (await notifier.take()).outcome == "delivered"
        assert (await notifier.row()).answer == "200 thanks"
    (request,) = requests
    assert request.startswith(b"POST /in HTTP/1.1\r\n")
    assert request.endswith(b'{"name":"Ada"}')
    assert b"\r\nwebhook-signature: v1," in request


@pytest.mark.parametrize("status", [301, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiver(answering(200)) as (url, followed):
        result = await delivered(answering(status, b"", f"Location: {url}"))
        assert (result.outcome, followed) == ("retry_scheduled", [])


async def test_a_long_or_compressed_body_is_read_up_to_64_kib_and_not_decoded() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    assert (await delivered(endless)).outcome == "delivered"
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert (await delivered(answering(200, bomb, "Content-Encoding: gzip"))).outcome == "delivered"


@pytest.mark.slow
async def test_a_receiver_that_answers_a_byte_at_a_time_or_never_leaves_the_outcome_unknown() -> None:
    async def dripping(writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.2)

    async def mute(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    for handle in (dripping, mute):
        assert (await delivered(handle)).outcome == "unknown"


async def test_a_private_address_gets_nothing_where_it_is_not_allowed() -> None:
    async with receiver(answering(200)) as (url, requests):
        notifier = notifier_for(url)
        configured = notifier.parts.destinations.configured["crm"]
        settings = compile_settings(
            webhook, {"url": url.replace("http:", "https:").replace("127.0.0.1", "localtest.example")}
        )
        blocked = replace(configured, settings=settings)
        fetch = GuardedFetch(resolve=_loopback)
        context = replace(a_context(), fetch=lambda: fetch)
        notifier = FakeNotifier(destinations=Destinations({"crm": blocked}, context))
        result = await notifier.take()
    assert (result.outcome, result.code, requests) == ("dead_lettered", "address_blocked", [])


async def _loopback(_: str, __: int) -> list[str]:
    return ["127.0.0.1"]
