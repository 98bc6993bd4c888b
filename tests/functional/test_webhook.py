"""Webhooks through notify, the engine and real connections."""

import gzip
import socket
from collections.abc import Sequence

import pytest

from functions.notify.destinations.webhook import webhook
from functions.notify.examples import compile_settings
from shared.jsontext import JsonObject
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.fakes.notifier import FakeNotifier
from tests.fakes.receiver import Answerer, http_answer, receiver
from tests.stand_ins.kind_services import notifier_over

SECRET = {"crm-signing": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


def notifier_for(settings: JsonObject, fetch: GuardedFetch | None = None) -> FakeNotifier:
    compiled = compile_settings(webhook, settings)
    return notifier_over(fetch or GuardedFetch(), CloudIdentity(), "webhook", compiled, SECRET)


def signed(url: str) -> JsonObject:
    return {"url": url, "allow_private": True, "secret": "crm-signing"}


async def delivered(answer: bytes | Answerer) -> str:
    """Return the outcome of a delivery to a receiver with that answer."""
    with receiver(answer) as crm:
        return (await notifier_for(signed(crm.url)).take()).outcome


async def test_a_webhook_arrives_with_its_signature() -> None:
    with receiver(http_answer(200, b"thanks")) as crm:
        notifier = notifier_for(signed(crm.url))
        assert (await notifier.take()).outcome == "delivered"
        assert (await notifier.row()).answer == "200 thanks"
    assert crm.heads[0].startswith("POST /hook HTTP/1.1\r\n")
    assert crm.bodies == [b'{"name":"Ada"}']
    assert str(crm.header("webhook-signature")).startswith("v1,")


@pytest.mark.parametrize("status", [301, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with receiver(http_answer(200)) as followed:
        assert await delivered(http_answer(status, b"", f"Location: {followed.url}\r\n".encode())) == "retry_scheduled"
    assert followed.heads == []


async def test_a_long_or_compressed_body_is_read_up_to_64_kib_and_not_decoded() -> None:
    def endless(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    assert await delivered(endless) == "delivered"
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert await delivered(http_answer(200, bomb, b"Content-Encoding: gzip\r\n")) == "delivered"


async def test_a_name_with_a_private_address_gets_nothing_and_is_tried_again_where_it_is_not_allowed() -> None:
    async def loopback(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with receiver(http_answer(200)) as crm:
        url = crm.url.replace("http://127.0.0.1", "https://localtest.example")
        result = await notifier_for({"url": url}, GuardedFetch(resolve=loopback)).take()
    assert (result.outcome, crm.heads) == ("retry_scheduled", []), "the name may have another address later"
    assert "localtest.example has an address that is" in str(result.reason)
