"""Mail through the sendgrid library, against a server that speaks its API."""

import json
import socket
import time
from contextlib import closing
from dataclasses import replace

import pytest

from functions.notify.destinations.email.email import connect
from functions.notify.examples import ATTEMPT
from shared.delivery import Delivered, Outcome, RetryLater, Unknown
from tests.fakes.destinations import a_context
from tests.fakes.mail_settings import mail_settings
from tests.fakes.notifier import DELIVERY
from tests.fakes.receiver import Answerer, http_answer, receiver
from tests.fakes.secrets import FakeSecrets

API_KEY = "SG.not-a-real-key-0123456789"
MESSAGE_ID = b"X-Message-Id: m1\r\n"


async def send(address: str, timeout_seconds: float = 5.0) -> Outcome:
    context = a_context(FakeSecrets({"sendgrid-api-key": API_KEY}))
    settings = context.settings._replace(sendgrid_url=f"http://{address}", email_from="hooks@example.com")
    attempt = replace(ATTEMPT, timeout_seconds=timeout_seconds)
    with closing(connect("list", mail_settings(), replace(context, settings=settings))) as destination:
        return await destination.attempt(DELIVERY, attempt)


async def test_a_mail_is_accepted() -> None:
    with receiver(http_answer(202, b"", MESSAGE_ID)) as api:
        assert await send(api.address) == Delivered("202 m1")

    request = json.loads(api.bodies[0])
    assert api.heads[0].startswith("POST /v3/mail/send ")
    assert api.header("authorization") == f"Bearer {API_KEY}"
    assert (request["subject"], request["from"]) == (
        "signup.created from web",
        {"email": "hooks@example.com"},
    )
    assert request["personalizations"] == [{"to": [{"email": "ada@example.com"}]}]


async def test_a_mail_that_was_taken_with_many_words_is_not_sent_again() -> None:
    with receiver(http_answer(200, b"w" * 12_000_000, MESSAGE_ID)) as api:
        assert await send(api.address) == Delivered("200 m1")
    assert len(api.bodies) == 1


async def test_a_server_that_is_not_there_is_tried_again_later(free_port: int) -> None:
    found = await send(f"127.0.0.1:{free_port}")

    assert isinstance(found, RetryLater)
    assert found.reason.startswith("SendGrid cannot be reached")


def break_off(connection: socket.socket) -> None:
    while not connection.recv(65_536).endswith(b"}"):
        pass


def hang(connection: socket.socket) -> None:
    break_off(connection)
    time.sleep(0.6)


@pytest.mark.parametrize("answerer", [break_off, hang])
async def test_without_an_answer_it_is_unknown_whether_the_mail_was_accepted(answerer: Answerer) -> None:
    with receiver(answerer) as api:
        assert isinstance(await send(api.address, timeout_seconds=0.3), Unknown)
