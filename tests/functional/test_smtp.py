"""Mail over SMTP, to a real server (aiosmtpd): what it takes, what its answers mean, and that nobody reads along."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email.email import connect
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.smtp import SmtpTransport
from functions.notify.destinations.email.smtp_server import Security, SmtpServer
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.destinations import a_context
from tests.fakes.mail_settings import mail_settings
from tests.fakes.secrets import FakeSecrets
from tests.unit.shared.outgoing_worlds import issue

HOST = "127.0.0.1"
PASSWORD = "correct-horse-battery"
EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:05.000Z", "00", {"name": "Zoë"})
ATTEMPT = Attempt(idempotency_key="k" * 64, attempt_number=1, generation=0, now=1_772_366_400.0, timeout_seconds=5.0)


@dataclass
class FakeInbox:
    """What aiosmtpd asks for each mail. `answers` maps a recipient, MAIL or DATA to the server's answer."""

    answers: dict[str, str] = field(default_factory=dict)
    envelopes: list[Envelope] = field(default_factory=list)
    ehlo: list[str | None] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    hang: bool = False

    async def handle_MAIL(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hang:
            await asyncio.sleep(3)
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append(envelope)
        self.ehlo.append(session.host_name)
        self.encrypted.append(session.ssl is not None)
        return "250 taken"

    @property
    def recipients(self) -> list[list[str]]:
        return [envelope.rcpt_tos for envelope in self.envelopes]


@dataclass
class Bench:
    port: int
    inbox: FakeInbox = field(default_factory=FakeInbox)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    secrets: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def serving(self, made_by: type[Controller] = Controller, /, **options: object) -> Generator[None, None, None]:
        controller = made_by(self.inbox, HOST, self.port, **options)  # type: ignore[arg-type] # each option has its own
        controller.start()
        try:
            yield
        finally:
            controller.stop()

    def context(self, user: str = "") -> Context:
        url = f"smtp://{user}127.0.0.1:{self.port}"
        context = a_context(FakeSecrets(self.secrets))
        settings = context.settings._replace(smtp_url=url, email_from="hooks@example.com")
        return replace(context, settings=settings, blobs=self.blobs)

    async def send(self, attempt: Attempt = ATTEMPT, user: str = "", event: Event = EVENT, **values: Json) -> Outcome:
        settings = mail_settings(**values)
        with closing(connect("list", settings, self.context(user))) as destination:
            return await destination.attempt(Delivery(event, "tell the list", "list"), attempt)


MAIL = Mail("k" * 64, Address("hooks@example.com"), (Address("ada@example.com"),), "Hi", "words", None)


@pytest.fixture
def bench(free_port: int) -> Bench:
    return Bench(free_port)


async def test_a_mail_is_accepted_as_it_was_written(bench: Bench) -> None:
    with bench.serving():
        found = await bench.send(subject="Grüße: {{ data.name }}", cc="c@example.com", bcc="d@example.com")

    assert found == Delivered("250 taken")
    [envelope] = bench.inbox.envelopes
    assert envelope.mail_from == "hooks@example.com"
    assert envelope.rcpt_tos == ["ada@example.com", "c@example.com", "d@example.com"]
    assert bench.inbox.ehlo == ["example.com"]
    assert isinstance(envelope.content, bytes)
    assert email.message_from_bytes(envelope.content, policy=email.policy.default)["Subject"] == "Grüße: Zoë"
    assert b"d@example.com" not in envelope.content


async def test_each_person_on_a_list_has_a_mail_of_their_own(bench: Bench) -> None:
    with bench.serving():
        found = await bench.send(to=["a@x.y", "b@x.y", "c@x.y"])

    assert found == Delivered("250 taken")
    assert bench.inbox.recipients == [["a@x.y"], ["b@x.y"], ["c@x.y"]]
    assert b"b@x.y" not in (bench.inbox.envelopes[0].content or b"")


async def test_a_retry_goes_to_those_alone_who_do_not_have_it(bench: Bench) -> None:
    everyone: Json = ["a@x.y", "b@x.y", "c@x.y", "d@x.y"]
    bench.inbox.answers = {"b@x.y": "451 later", "c@x.y": "550 no such user"}
    with bench.serving():
        first = await bench.send(to=everyone)
        bench.inbox.answers = {}
        second = await bench.send(replace(ATTEMPT, attempt_number=2), to=everyone)

    assert first == RetryLater("not yet for 1 of 4 recipients: 451", answer="451 later")
    assert second == Delivered("accepted for 3 of 4 recipients, rejected for the others: 550 no such user")
    assert bench.inbox.recipients == [["a@x.y"], ["d@x.y"], ["b@x.y"]]


async def test_a_replay_of_a_delivered_mail_goes_to_everyone_again(bench: Bench) -> None:
    bench.inbox.answers = {"b@x.y": "451 later"}
    with bench.serving():
        await bench.send(to=["a@x.y", "b@x.y"])
        bench.inbox.answers = {}
        again = replace(ATTEMPT, attempt_number=2, generation=1, undelivered_since=1, idempotency_key=f"{'k' * 64}-r1")
        await bench.send(again, to=["a@x.y", "b@x.y"])

    assert bench.inbox.recipients == [["a@x.y"], ["a@x.y"], ["b@x.y"]]


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ({"ada@example.com": "550 no such user"}, Failed, "550 no such user"),
        ({"ada@example.com": "452 mailbox full"}, RetryLater, "452 mailbox full"),
        ({"DATA": "554 looks like spam"}, Failed, "554 looks like spam"),
        ({"DATA": "451 try later"}, RetryLater, "451 try later"),
        ({"MAIL": "553 not your address"}, Disabled, "rejects the sender hooks@example.com"),
        ({"MAIL": "530 5.7.0 Authentication required"}, Disabled, "write the user into SMTP_URL"),
        ({"DATA": "25"}, Unknown, ""),  # what is no reply is never an acceptance
        ({"DATA": "queued"}, Unknown, ""),
        ({"DATA": "354 more"}, Unknown, ""),
        ({"ada@example.com": "ok"}, RetryLater, ""),
        ({"MAIL": "999 no"}, RetryLater, ""),
    ],
)
async def test_the_servers_answer_is_the_outcome(
    bench: Bench, answers: dict[str, str], kind: type[object], message: str
) -> None:
    bench.inbox.answers = answers
    with bench.serving():
        found = await bench.send()

    assert isinstance(found, kind)
    assert message in repr(found)


@pytest.mark.parametrize("code", ["550 5.1.1", "550"])
async def test_a_reason_holds_the_codes_of_a_reply_and_not_its_text(bench: Bench, code: str) -> None:
    reply = f"{code} <ada@example.com>: Recipient address rejected"
    bench.inbox.answers = {"ada@example.com": reply}
    with bench.serving():
        found = await bench.send()

    assert isinstance(found, Failed | RetryLater)
    assert found.reason.endswith(f": {code}")
    assert found.answer == reply


async def test_a_server_that_is_not_there_is_tried_again_later(bench: Bench) -> None:
    found = await bench.send()

    assert isinstance(found, RetryLater)
    assert found.reason == f"127.0.0.1 cannot be reached at port {bench.port}: it refused the connection"


async def test_a_server_that_waits_for_tls_is_named(bench: Bench) -> None:
    async with await asyncio.start_server(lambda _, writer: waiting.append(writer), HOST, bench.port):
        waiting: list[asyncio.StreamWriter] = []
        found = await bench.send(replace(ATTEMPT, timeout_seconds=1.2))
        for writer in waiting:
            writer.close()
    assert isinstance(found, RetryLater)
    assert found.reason.endswith("no answer came in time, or it waits for TLS from the start: write smtps:// then")


@pytest.mark.parametrize(
    ("security", "replies", "reason"),
    [
        ("tls", [b"220 plain\r\n"], "it does not speak TLS from the start there: correct the port, or write smtp://"),
        (
            "starttls",
            [b"220 plain\r\n", b"250-here\r\n250 STARTTLS\r\n", b"220 go\r\n", b"220 plain\r\n"],
            "the connection to localhost cannot be encrypted: it does not speak TLS as we do (WRONG_VERSION_NUMBER)",
        ),
    ],
)
async def test_only_a_server_without_tls_from_the_start_gets_the_advice_to_write_smtp(
    bench: Bench, security: Security, replies: list[bytes], reason: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(replies[0])
        for reply in replies[1:]:
            await reader.read(1_000)
            writer.write(reply)
        await reader.read(1_000)
        writer.close()

    async with await asyncio.start_server(serve, "localhost", bench.port):
        found = await send_to(bench, security)
    assert isinstance(found, RetryLater)
    assert found.reason.endswith(reason)


async def test_no_answer_to_a_mail_that_was_sent_is_unknown(bench: Bench) -> None:
    bench.inbox.hang = True
    with bench.serving():
        found = await bench.send(replace(ATTEMPT, timeout_seconds=1.2))
    assert isinstance(found, Unknown)
    assert "did not say whether it took" in found.reason


async def test_a_connection_that_breaks_before_the_mail_is_sent_repeats_nothing(bench: Bench) -> None:
    class BreaksOffAtData(SMTP):
        async def smtp_DATA(self, _: str) -> None:  # noqa: N802 aiosmtpd's name
            assert self.transport is not None
            self.transport.close()

    class Breaking(Controller):
        def factory(self) -> SMTP:
            return BreaksOffAtData(self.handler)

    with bench.serving(Breaking):
        found = await bench.send()

    assert isinstance(found, RetryLater)


@pytest.mark.parametrize("reply", [b"552 too large\r\n", b""], ids=["refuses", "breaks off"])
async def test_a_server_that_ends_it_amid_a_large_mail_did_not_accept_it(bench: Bench, reply: bytes) -> None:
    got = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        writer.write(b"220 hi\r\n")
        while (line := await reader.readline()) and line != b"DATA\r\n":
            writer.write(b"250 OK\r\n")
        writer.write(b"354 go on\r\n")
        got = await reader.read(65_536)
        writer.write(reply)
        await asyncio.sleep(0.1)
        writer.transport.abort()

    mail = replace(MAIL, text="many words " * 500_000)
    server = await asyncio.start_server(serve, HOST, bench.port)
    async with server:
        transport = SmtpTransport("list", SmtpServer(HOST, bench.port, "none"), bench.context())
        found = await transport.send(mail, ATTEMPT, ATTEMPT.timeout_seconds)

    assert got
    assert isinstance(found, Failed if reply else RetryLater)
    assert "552 too large" in repr(found) or not reply


async def test_an_address_beyond_ascii_is_rejected_where_the_server_cannot(bench: Bench) -> None:
    with bench.serving(enable_SMTPUTF8=False):
        found = await bench.send(to="zoë@x.y")

    assert isinstance(found, Failed)
    assert "SMTPUTF8" in found.reason


# aiosmtpd warns of what these tests want: passwords on this machine, unencrypted.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def authenticator(_: SMTP, __: Session, ___: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


WANTED = {"authenticator": authenticator, "auth_require_tls": False, "auth_required": True}


@pytest.mark.parametrize(
    ("password", "options", "kind", "reason"),
    [
        (PASSWORD, WANTED, Delivered, ""),
        ("wrong-password-01234", WANTED, Disabled, ""),
        ("", WANTED, Disabled, ""),
        (PASSWORD, {}, Disabled, "takes no password"),
    ],
    ids=["right", "wrong", "none", "not wanted"],
)
async def test_the_password_is_a_secret_and_a_wrong_one_holds_the_destination(
    bench: Bench, password: str, options: dict[str, object], kind: type[object], reason: str
) -> None:
    bench.secrets = {"smtp-password": password}
    with bench.serving(**options):
        found = await bench.send(user="ada@" if password else "")

    assert isinstance(found, kind)
    assert reason in repr(found)
    assert not password or password not in repr(found)


# Encrypted servers, under a certificate made here.


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file: the certificate and the key of `localhost`, which is its own authority."""
    made = issue("localhost")
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_text(made.certificate + made.key)
    return file


@pytest.fixture
def server_tls(issued: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued)
    return tls


def encrypting(security: Security, tls: ssl.SSLContext) -> dict[str, object]:
    """Return the options of a server with this encryption."""
    return {"ssl_context": tls} if security == "tls" else {"tls_context": tls, "require_starttls": True}


@pytest.fixture
def trusted(issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued))


async def send_to(bench: Bench, security: Security) -> Outcome:
    server = SmtpServer("localhost", bench.port, security)
    return await SmtpTransport("list", server, bench.context()).send(MAIL, ATTEMPT, ATTEMPT.timeout_seconds)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_is_encrypted_before_anything_is_said(
    bench: Bench, server_tls: ssl.SSLContext, security: Security
) -> None:
    with bench.serving(**encrypting(security, server_tls)):
        found = await send_to(bench, security)

    assert isinstance(found, Delivered)
    assert bench.inbox.recipients == [["ada@example.com"]]
    assert bench.inbox.encrypted == [security == "starttls"]  # aiosmtpd notes that way alone


async def test_a_server_without_starttls_gets_no_mail_and_the_destination_waits(bench: Bench) -> None:
    with bench.serving():
        found = await send_to(bench, "starttls")

    assert isinstance(found, Disabled)
    assert "offers no STARTTLS" in found.reason
    assert bench.inbox.envelopes == []


async def test_a_server_on_this_machine_that_wants_a_password_after_starttls_is_not_said_to_take_none(
    bench: Bench, server_tls: ssl.SSLContext
) -> None:
    bench.secrets = {"smtp-password": PASSWORD}
    with bench.serving(tls_context=server_tls, authenticator=authenticator, auth_require_tls=True):
        found = await bench.send(user="ada@")

    assert isinstance(found, Disabled)
    assert "takes no password before STARTTLS" in found.reason


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    bench: Bench, server_tls: ssl.SSLContext, security: Security
) -> None:
    with bench.serving(**encrypting(security, server_tls)):
        found = await send_to(bench, security)

    assert isinstance(found, RetryLater)
    assert "certificate is not accepted" in found.reason
    assert bench.inbox.envelopes == []
