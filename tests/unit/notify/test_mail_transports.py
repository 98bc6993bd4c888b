"""The choice of a mail transport, and what holds a destination that has none."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from functions.notify.destination import CloudApi, Context
from functions.notify.destinations.email.email import connect
from functions.notify.destinations.email.mail import SendLimit
from functions.notify.destinations.email.sendgrid import SendGridTransport
from functions.notify.destinations.email.ses import SesTransport
from functions.notify.destinations.email.smtp import SmtpTransport
from functions.notify.destinations.email.smtp_server import SmtpServer, SmtpUrlFault, parse_smtp_url
from functions.notify.destinations.email.transports import MailTransports, Via
from functions.notify.examples import ATTEMPT
from shared.delivery import Disabled, RetryLater
from shared.errors import Permanent, Temporary
from shared.outgoing.http_client import Answer
from shared.secrets import SecretDenied
from tests.fakes.destinations import a_context
from tests.fakes.mail_settings import mail_settings
from tests.fakes.notifier import DELIVERY
from tests.fakes.secrets import FakeSecrets

KEY = {"sendgrid-api-key": "SG.not-a-real-key-0123456789"}
SMTP = "smtp://mail.example.com:587"
HAS_KEY, NO_KEY = FakeSecrets(KEY), FakeSecrets({})
DENIED = FakeSecrets({}, SecretDenied("secret_unavailable", "no secret is ours to read"))


class NoSes:
    """SES, which takes no mail in these tests."""

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Answer:
        raise AssertionError("a mail was sent")


def context(
    secrets: FakeSecrets, smtp_url: str | None = None, email_from: str | None = None, ses: CloudApi | None = None
) -> Context:
    made = a_context(secrets)
    return replace(made, settings=made.settings._replace(smtp_url=smtp_url, email_from=email_from), ses=ses)


@pytest.mark.parametrize(
    ("via", "secrets", "smtp_url", "ses", "transport"),
    [
        ("auto", HAS_KEY, SMTP, False, SendGridTransport),
        ("auto", NO_KEY, SMTP, False, SmtpTransport),
        ("sendgrid", HAS_KEY, SMTP, False, SendGridTransport),
        ("smtp", HAS_KEY, SMTP, False, SmtpTransport),
        ("auto", NO_KEY, SMTP, True, SmtpTransport),
        ("auto", NO_KEY, None, True, SesTransport),
        ("ses", HAS_KEY, SMTP, True, SesTransport),
        # Both clouds also deny an account that was granted other secrets a secret that is not there.
        ("auto", DENIED, SMTP, False, SmtpTransport),
        ("auto", DENIED, None, True, SesTransport),
    ],
)
async def test_sendgrid_goes_before_smtp_and_smtp_before_ses_unless_the_destination_says(
    via: Via, secrets: FakeSecrets, smtp_url: str | None, ses: bool, transport: type[object]
) -> None:
    made = context(secrets, smtp_url, ses=NoSes() if ses else None)
    assert isinstance(await MailTransports("list", via, made).choose(), transport)


@pytest.mark.parametrize("via", ["auto", "sendgrid", "smtp", "ses"])
async def test_an_emulated_sendgrid_catches_the_mail_of_every_transport_that_is_not_set_up(via: Via) -> None:
    given = context(FakeSecrets(KEY))
    caught = replace(given, settings=given.settings._replace(sendgrid_url="http://127.0.0.1:8085"))
    assert isinstance(await MailTransports("list", via, caught).choose(), SendGridTransport)


@pytest.mark.parametrize(
    ("via", "message"),
    [
        ("auto", "sendgrid-api-key, or set SMTP_URL"),
        ("sendgrid", "sendgrid-api-key"),
        ("smtp", "set SMTP_URL"),
        ("ses", "only a deployment on AWS has SES"),
    ],
)
async def test_with_no_transport_the_destination_waits_and_says_what_to_set(via: Via, message: str) -> None:
    found = await MailTransports("list", via, context(FakeSecrets({}))).choose()

    assert isinstance(found, Disabled)
    assert message in found.reason
    assert "hookchain resume list" in found.reason


async def test_while_the_secrets_cannot_be_read_another_transport_is_not_chosen() -> None:
    down = FakeSecrets({}, Temporary("secret_unavailable", "the store is down"))
    with pytest.raises(Temporary):
        await MailTransports("list", "auto", context(down, SMTP)).choose()


@pytest.mark.parametrize(("via", "smtp_url"), [("auto", None), ("sendgrid", SMTP)])
async def test_where_nothing_else_serves_a_key_that_may_not_be_read_pauses_the_destination(
    via: Via, smtp_url: str | None
) -> None:
    found = await MailTransports("list", via, context(DENIED, smtp_url)).choose()
    assert isinstance(found, RetryLater)
    assert found.pause_destination_seconds == 300


async def test_a_new_key_is_used_from_the_next_mail_on() -> None:
    secrets = FakeSecrets(KEY)
    transports = MailTransports("list", "auto", context(secrets))
    for key in ("SG.a-key-0123456789abcdef", "SG.another-key-0123456789abc"):
        secrets.texts = {"sendgrid-api-key": key}
        transport = await transports.choose()
        assert isinstance(transport, SendGridTransport)
        assert transport.headers["Authorization"] == f"Bearer {key}"


@pytest.mark.parametrize(
    ("secrets", "smtp_url", "email_from", "act"),
    [
        ({}, "smtp://ada:hunter2@x", None, "put it in the secret smtp-password"),
        ({}, "smtp://ada@127.0.0.1:1", None, "smtp-password"),
        (KEY, None, "nobody", "EMAIL_FROM"),
    ],
)
async def test_what_the_operator_has_to_correct_holds_the_destination(
    secrets: dict[str, str], smtp_url: str | None, email_from: str | None, act: str
) -> None:
    destination = connect("list", mail_settings(), context(FakeSecrets(secrets), smtp_url, email_from))
    outcome = await destination.attempt(DELIVERY, ATTEMPT)
    assert isinstance(outcome, Disabled)
    assert act in outcome.reason
    assert "hunter2" not in outcome.reason


async def test_an_event_whose_data_is_gone_is_permanent() -> None:
    delivery = replace(DELIVERY, event=replace(DELIVERY.event, dataref="gone"))
    with pytest.raises(Permanent, match="missing_body"):
        await connect("list", mail_settings(), context(FakeSecrets(KEY))).attempt(delivery, ATTEMPT)


async def test_no_more_mails_are_sent_than_there_are_places() -> None:
    chance, limit, under_way = random.Random(7), SendLimit(3), [0]

    async def send() -> None:
        await limit.enter(0.04)
        under_way[0] += 1
        try:
            assert under_way[0] <= 3
            await asyncio.sleep(chance.random() / 100)
        finally:
            under_way[0] -= 1
            limit.release()

    mails = [asyncio.create_task(send()) for _ in range(200)]
    for each in chance.sample(mails, 50):
        await asyncio.sleep(0)
        each.cancel()
    results = await asyncio.gather(*mails, return_exceptions=True)
    assert {type(each) for each in results} == {type(None), Temporary, asyncio.CancelledError}
    for _ in range(3):
        await limit.enter(0.02)
    with pytest.raises(Temporary):
        await limit.enter(0.02)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, "starttls")),
        ("smtp://ada@mail.example.com:2525", SmtpServer("mail.example.com", 2525, "starttls", "ada")),
        ("smtp://ada%40x.y@mail.example.com", SmtpServer("mail.example.com", 587, "starttls", "ada@x.y")),
        ("smtp://ada@x.y@mail.example.com", SmtpServer("mail.example.com", 587, "starttls", "ada@x.y")),
        ("smtps://ada@mail.example.com", SmtpServer("mail.example.com", 465, "tls", "ada")),
        ("smtp://127.0.0.1:25/", SmtpServer("127.0.0.1", 25, "none")),
        ("smtp://[::1]:25", SmtpServer("::1", 25, "none")),
        ("smtps://localhost:25", SmtpServer("localhost", 25, "tls")),
    ],
)
def test_a_server_is_encrypted_unless_it_is_on_this_machine(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://x",
        "smtp://",
        "smtp://x:99999",
        "smtp://x?tls=no",
        "smtp://ada:hunter2@x",
        "smtp://[::1",
    ],
)
def test_a_faulty_url_is_rejected_without_being_repeated(url: str) -> None:
    with pytest.raises(SmtpUrlFault) as caught:
        parse_smtp_url(url)

    assert "hunter2" not in str(caught.value)
