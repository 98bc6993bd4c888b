"""Mail over SMTP: who we are to the server, and that nobody reads along."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.notify.destinations.email.smtp import SmtpTransport
from functions.notify.destinations.email.smtp_server import Security, SmtpServer
from shared.delivery import Delivered, Disabled, Outcome, RetryLater
from tests.functional.smtp_inbox import ATTEMPT, HOST, MAIL, PASSWORD, Bench, serving

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


async def send_to(bench: Bench, security: Security) -> Outcome:
    server = SmtpServer("127.0.0.1", bench.port, security)
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
