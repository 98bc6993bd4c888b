"""Mail over SMTP: who we are to the server, and that nobody reads along."""

import ssl
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from functions.notify.destinations.email.smtp import SmtpTransport
from functions.notify.destinations.email.smtp_server import Security, SmtpServer
from shared.delivery import Delivered, Disabled, Outcome, RetryLater
from tests.functional.smtp_inbox import ATTEMPT, HOST, MAIL, PASSWORD, Bench, serving
from tests.unit.shared.test_outgoing_certificates import issue

# aiosmtpd warns of what these tests want: passwords on this machine, unencrypted.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def authenticator(_: SMTP, __: Session, ___: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@pytest.fixture
def bench(free_port: int) -> Bench:
    return Bench(free_port)


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


@pytest.fixture
def trusted(issued: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued))


async def send_to(bench: Bench, security: Security) -> Outcome:
    server = SmtpServer("localhost", bench.port, security)
    return await SmtpTransport("list", server, bench.context()).send(MAIL, ATTEMPT, ATTEMPT.timeout_seconds)


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
