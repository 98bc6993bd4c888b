"""Mail over SMTP, to a real server (aiosmtpd)."""

import asyncio
import email
import email.policy
import ipaddress
import ssl
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.email import Settings, connect
from functions.notify.mail.addresses import Address
from functions.notify.mail.mail import Mail
from functions.notify.mail.smtp import SmtpWay
from functions.notify.mail.smtp_url import Security, SmtpServer
from functions.notify.mail.threads import BoundedThreads
from shared.delivery import Delivered, Delivery, Disabled, Outcome, Refused, RetryLater
from shared.event import Event
from shared.jsontext import Json
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

# aiosmtpd warns of what these tests want: passwords on this machine, unencrypted.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

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


def authenticator(_: SMTP, __: Session, ___: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@contextmanager
def serving(controller: Controller) -> Generator[None, None, None]:
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@dataclass
class Bench:
    port: int
    inbox: FakeInbox = field(default_factory=FakeInbox)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    secrets: dict[str, str] = field(default_factory=dict)

    def context(self, user: str = "") -> Context:
        url = f"smtp://{user}127.0.0.1:{self.port}"
        settings = replace(read_settings({}), smtp_url=url, email_from="hooks@example.com")
        return Context(FakeSecrets(self.secrets), settings, self.blobs, FakeClock())

    async def send(self, attempt: Attempt = ATTEMPT, user: str = "", event: Event = EVENT, **values: Json) -> Outcome:
        settings = Settings.model_validate({"to": ["ada@example.com"], **values})
        with closing(connect("list", settings, self.context(user))) as destination:
            return await destination.attempt(Delivery(event, "tell the list", "list"), attempt)


@pytest.fixture
def bench(free_port: int) -> Bench:
    return Bench(free_port)


async def test_a_mail_is_taken_as_it_was_written(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(subject="Grüße: {{ data.name }}", cc="c@example.com", bcc="d@example.com")

    assert found == Delivered("250 taken")
    [envelope] = bench.inbox.envelopes
    assert envelope.mail_from == "hooks@example.com"
    assert envelope.rcpt_tos == ["ada@example.com", "c@example.com", "d@example.com"]
    assert bench.inbox.ehlo == ["example.com"]
    assert isinstance(envelope.content, bytes)
    message = email.message_from_bytes(envelope.content, EmailMessage, policy=email.policy.default)
    plain = message.get_body(("plain",))
    assert message["Subject"] == "Grüße: Zoë"
    assert message["X-Hookchain-Delivery"] == "k" * 64
    assert "d@example.com" not in envelope.content.decode()
    assert plain is not None
    assert "name: Zoë" in plain.get_content()


async def test_each_person_on_a_list_has_a_mail_of_their_own(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(to=["a@x.y", "b@x.y", "c@x.y"])

    assert found == Delivered("250 taken")
    assert bench.inbox.recipients == [["a@x.y"], ["b@x.y"], ["c@x.y"]]
    assert b"b@x.y" not in (bench.inbox.envelopes[0].content or b"")


async def test_a_retry_goes_to_those_alone_who_do_not_have_it(bench: Bench) -> None:
    everyone: Json = ["a@x.y", "b@x.y", "c@x.y", "d@x.y"]
    bench.inbox.answers = {"b@x.y": "451 later", "c@x.y": "550 no such user"}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        first = await bench.send(to=everyone)
        bench.inbox.answers = {}
        second = await bench.send(replace(ATTEMPT, attempt_number=2), to=everyone)

    assert first == RetryLater("not yet for 1 of 4 recipients: 451 later", answer="451 later")
    assert second == Delivered("taken for 3 of 4 recipients, refused for the others: 550 no such user")
    assert bench.inbox.recipients == [["a@x.y"], ["d@x.y"], ["b@x.y"]]


async def test_a_retry_of_a_mail_to_all_goes_to_those_alone_who_do_not_have_it(bench: Bench) -> None:
    bench.inbox.answers = {"b@x.y": "451 later"}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        await bench.send(to=["a@x.y"], cc=["b@x.y"])
        bench.inbox.answers = {}
        await bench.send(replace(ATTEMPT, attempt_number=2), to=["a@x.y"], cc=["b@x.y"])

    assert bench.inbox.recipients == [["a@x.y"], ["b@x.y"]]


async def test_a_new_generation_goes_to_everyone_again(bench: Bench) -> None:
    bench.inbox.answers = {"b@x.y": "451 later"}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        await bench.send(to=["a@x.y", "b@x.y"])
        bench.inbox.answers = {}
        again = replace(ATTEMPT, attempt_number=2, generation=1, idempotency_key=f"{'k' * 64}-r1")
        await bench.send(again, to=["a@x.y", "b@x.y"])

    assert bench.inbox.recipients == [["a@x.y"], ["a@x.y"], ["b@x.y"]]


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ({"ada@example.com": "550 no such user"}, Refused, "550 no such user"),
        ({"ada@example.com": "452 mailbox full"}, RetryLater, "452 mailbox full"),
        ({"DATA": "554 looks like spam"}, Refused, "554 looks like spam"),
        ({"DATA": "451 try later"}, RetryLater, "451 try later"),
        ({"MAIL": "451 greylisted"}, RetryLater, "451 greylisted"),
        ({"MAIL": "553 not your address"}, Disabled, "refuses the sender hooks@example.com"),
    ],
)
async def test_the_servers_answer_is_the_outcome(
    bench: Bench, answers: dict[str, str], kind: type[object], words: str
) -> None:
    bench.inbox.answers = answers
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send()

    assert isinstance(found, kind)
    assert words in repr(found)


async def test_a_server_that_is_not_there_is_tried_again_later(bench: Bench) -> None:
    found = await bench.send()

    assert isinstance(found, RetryLater)
    assert found.reason == "127.0.0.1 cannot be reached: ConnectionRefusedError"


async def test_no_answer_to_a_mail_that_was_sent_is_unknown(bench: Bench) -> None:
    bench.inbox.hang = True
    with (
        serving(Controller(bench.inbox, HOST, bench.port)),
        pytest.raises(TimeoutError, match="did not say whether it took"),
    ):
        await bench.send(replace(ATTEMPT, timeout_seconds=1.2))


async def test_an_address_beyond_ascii_is_sent_as_it_is(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port, enable_SMTPUTF8=True)):
        found = await bench.send(to="Zoë <zoë@bücher.example>")

    assert isinstance(found, Delivered)
    assert bench.inbox.recipients == [["zoë@xn--bcher-kva.example"]]


async def test_an_address_beyond_ascii_is_refused_where_the_server_cannot(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port, enable_SMTPUTF8=False)):
        found = await bench.send(to="zoë@x.y")

    assert isinstance(found, Refused)
    assert "SMTPUTF8" in found.reason


@pytest.mark.parametrize(
    ("password", "kind"), [(PASSWORD, Delivered), ("wrong-password-01234", Disabled)], ids=["right", "wrong"]
)
async def test_the_password_is_a_secret_and_a_wrong_one_holds_the_destination(
    bench: Bench, password: str, kind: type[object]
) -> None:
    bench.secrets = {"smtp-password": password}
    with serving(
        Controller(
            bench.inbox, HOST, bench.port, authenticator=authenticator, auth_require_tls=False, auth_required=True
        )
    ):
        found = await bench.send(user="ada@")

    assert isinstance(found, kind)
    assert password not in repr(found)


async def test_a_server_that_takes_no_password_holds_the_destination(bench: Bench) -> None:
    bench.secrets = {"smtp-password": PASSWORD}
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await bench.send(user="ada@")

    assert isinstance(found, Disabled)
    assert "takes no password" in found.reason


async def test_a_server_that_wants_a_password_holds_the_destination(bench: Bench) -> None:
    with serving(
        Controller(
            bench.inbox, HOST, bench.port, authenticator=authenticator, auth_require_tls=False, auth_required=True
        )
    ):
        found = await bench.send()

    assert isinstance(found, Disabled)


# Encrypted servers, under a certificate made here.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file: certificate and key, for `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return file


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return tls


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


MAIL = Mail("k" * 64, Address("hooks@example.com"), (Address("ada@example.com"),), "Hi", "words", None)


async def send_to(bench: Bench, security: Security) -> Outcome:
    with closing(BoundedThreads()) as threads:
        server = SmtpServer("127.0.0.1", bench.port, security)
        return await SmtpWay("list", server, bench.context(), threads).send(MAIL, ATTEMPT)


@pytest.mark.usefixtures("trusted")
async def test_starttls_encrypts_before_anything_is_said(bench: Bench, server_tls: ssl.SSLContext) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port, tls_context=server_tls, require_starttls=True)):
        found = await send_to(bench, "starttls")

    assert isinstance(found, Delivered)
    assert bench.inbox.encrypted == [True]


@pytest.mark.usefixtures("trusted")
async def test_smtps_is_encrypted_from_the_start(bench: Bench, server_tls: ssl.SSLContext) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port, ssl_context=server_tls)):
        found = await send_to(bench, "tls")

    assert isinstance(found, Delivered)
    assert bench.inbox.recipients == [["ada@example.com"]]


async def test_a_server_without_starttls_gets_no_mail_and_the_destination_waits(bench: Bench) -> None:
    with serving(Controller(bench.inbox, HOST, bench.port)):
        found = await send_to(bench, "starttls")

    assert isinstance(found, Disabled)
    assert "offers no STARTTLS" in found.reason
    assert bench.inbox.envelopes == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    bench: Bench, server_tls: ssl.SSLContext, security: Security
) -> None:
    if security == "tls":
        controller = Controller(bench.inbox, HOST, bench.port, ssl_context=server_tls)
    else:
        controller = Controller(bench.inbox, HOST, bench.port, tls_context=server_tls)
    with serving(controller):
        found = await send_to(bench, security)

    assert isinstance(found, RetryLater)
    assert "certificate is not accepted" in found.reason
    assert bench.inbox.envelopes == []
