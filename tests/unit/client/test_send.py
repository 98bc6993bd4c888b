import base64
import json
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.client.hookchain.auth import Basic, Bearer, Hmac, Password, StandardWebhooks
from deploy.client.hookchain.sending import send
from shared.signatures.standard_webhooks import verify_standard
from tests.fakes.receiver import http_answer, receiver
from tests.unit.shared.hmac_verification import verify_hmac

ACCEPTED = http_answer(200, b'{"id":"3f2a9c"}')
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSK = f"whsk_{base64.b64encode(bytes(32)).decode()}"
NOW = 1_790_000_000.0


def test_an_accepted_event_is_named_as_the_receiver_names_it() -> None:
    with receiver(ACCEPTED) as hook:
        outcome = send(hook.url, {"event": "signup.created", "n": 1.5, "list": (1, 2)})
    assert outcome.ok
    assert (outcome.status, outcome.event_id, outcome.code) == (200, "3f2a9c", None)
    assert outcome.message == "accepted as event 3f2a9c"
    assert json.loads(hook.bodies[0]) == {"event": "signup.created", "n": 1.5, "list": [1, 2]}
    assert hook.header("content-type") == "application/json"


def test_a_secret_alone_is_a_password_but_a_signing_key_never_leaves() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, secret="correct horse battery")
        assert hook.header("x-webhook-password") == "correct horse battery"
        for number, key in enumerate((WHSEC, f"v1,{WHSEC}", WHSK), 1):
            send(hook.url, {}, secret=key, now=NOW)
            assert "webhook-signature" in hook.heads[number].lower()
            assert key.partition("_")[2] not in hook.heads[number]


def test_each_way_to_authenticate_writes_its_header() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, secret="pass word", auth=Password("X-Token"))
        assert hook.header("x-token") == "pass word"
        send(hook.url, {}, secret="pässword", auth=Basic("web"))
        assert hook.header("authorization") == "Basic d2ViOnDDpHNzd29yZA=="
        send(hook.url, {}, secret="token", auth=Bearer())
        assert hook.header("authorization") == "Bearer token"


def test_a_signature_is_over_the_bytes_that_are_sent() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {"a": "ü"}, secret="key", auth=Hmac("X-Sig", "sha512", "base64", "v="), extra={"b": 2})
        verify_hmac(hook.header("x-sig"), hook.bodies[0], ["key"], "sha512", "base64", "v=")
        send(hook.url, {"a": 1}, secret=WHSEC, auth=StandardWebhooks(), delivery_id="msg_1", now=NOW)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    webhook_id, timestamp, signature = (hook.header(name) for name in names)
    verify_standard(
        webhook_id=webhook_id, timestamp=timestamp, signatures=signature, body=hook.bodies[1], secrets=[WHSEC], now=NOW
    )
    assert webhook_id == "msg_1"


def test_a_header_of_the_caller_replaces_the_one_that_send_makes() -> None:
    with receiver(ACCEPTED) as hook:
        send(hook.url, {}, headers={"content-type": "application/vnd.shop+json", "X-Shop": "1"})
    names = [line.partition(":")[0].lower() for line in hook.heads[0].split("\r\n")[1:]]
    assert (names.count("content-type"), hook.header("content-type")) == (1, "application/vnd.shop+json")
    assert hook.header("x-shop") == "1"


def test_extra_fields_stand_at_the_top_of_the_body_in_every_format() -> None:
    with receiver(ACCEPTED) as hook:
        for form in ("json", "xml", "yaml", "form"):
            send(hook.url, {"a": "1"}, format=form, extra={"env": "staging"})
    json_body, xml_body, yaml_body, form_body = (body.decode() for body in hook.bodies)
    assert json_body == '{"a":"1","env":"staging"}'
    assert xml_body.endswith("<event><a>1</a><env>staging</env></event>\n")
    assert yaml_body == "a: '1'\nenv: staging\n"
    assert form_body == "a=1&env=staging"


@pytest.mark.parametrize(
    ("status", "document", "message"),
    [
        (401, b'{"code":"signature_mismatch"}', "rejected: the signature does not match (401 signature_mismatch)"),
        (422, b'{"code":"too_deep","title":"deeper than 64."}', "rejected: deeper than 64 (422 too_deep)"),
        (418, b'{"code":"\\u001b[31mred"}', "rejected: the receiver gives no reason (418 [31mred)"),
        (503, b'{"code":"busy"}', "not confirmed: it may or may not have arrived; send it again later (503 busy)"),
        (301, b"", "rejected: the receiver redirects to another URL; send to that one (301)"),
    ],
)
def test_a_rejection_says_why_with_its_code(status: int, document: bytes, message: str) -> None:
    with receiver(http_answer(status, document)) as hook:
        outcome = send(hook.url, {})
    assert (outcome.ok, outcome.message) == (False, message)
    assert f"({outcome.status} {outcome.code})" in message or outcome.code == "http"


@pytest.mark.parametrize(
    ("answer", "message", "code"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "the response is not HTTP: it may or may not have arrived", "not_http"),
        (b"", "the connection closed before a response: it may or may not have arrived", "cut"),
    ],
)
def test_without_a_response_nobody_knows(answer: bytes, message: str, code: str) -> None:
    with receiver(answer) as hook:
        outcome = send(hook.url, {})
    assert (outcome.ok, outcome.message, outcome.code) == (False, message, code)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + http_answer(200, b"{}"),
    ],
)
def test_the_final_status_decides_whatever_is_before_and_after_it(answer: bytes) -> None:
    with receiver(answer) as hook:
        outcome = send(hook.url, {})
    assert (outcome.ok, outcome.status) == (True, 200)


def test_the_time_limit_holds_for_an_answer_that_drips() -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)

    with receiver(drip) as hook:
        outcome = send(hook.url, {}, timeout_seconds=0.2)
    assert outcome.code == "timeout"
    assert outcome.message == "no response within 0.2 s: it may or may not have arrived"


def test_a_rejection_before_the_whole_body_was_read_is_still_seen() -> None:
    def refuse_early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(http_answer(413, b'{"code":"body_too_large"}'))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1_000_000):
            pass

    with receiver(refuse_early) as hook:
        outcome = send(hook.url, b"x" * 3_000_000)
    assert outcome.message == "rejected: the body is too large (413 body_too_large)"


def test_an_untrusted_certificate_stops_it_before_anything_is_sent(tmp_path: Path) -> None:
    seen: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))

    def greet(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            seen.append(secure.recv(1000))

    with receiver(greet) as hook:
        outcome = send(f"https://{hook.address}/", {"a": 1}, timeout_seconds=5)
    assert outcome.code == "untrusted"
    assert outcome.message == "not sent: the receiver's certificate is not trusted: self-signed certificate"
    assert not any(seen)


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(*form) + pem)
    return path


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "http://",
        "http://user:word@example.com/",
        "http://example.com\\@evil.test/",
        "http://example.com/\r\nX: y",
        "http://a..b/",
    ],
)
def test_a_url_that_cannot_be_meant_is_rejected_before_anything_happens(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        send(url, {})


@pytest.mark.parametrize(
    "arguments",
    [
        {"auth": Bearer()},
        {"secret": "canary\r\nX: y"},
        {"secret": "canary", "auth": Basic("a:b")},
        {"secret": "canary", "auth": Hmac("X-Sig", prefix="\r\n")},
        {"secret": "whsec_canary!"},
        {"headers": {"X": "canary\n"}},
        {"delivery_id": "a.b"},
        {"timeout_seconds": float("nan")},
        {"format": "protobuf"},
        {"secret": ""},
        {"secret": "canary", "auth": Hmac("X-Sig", algorithm="crc32")},
        {"headers": {"Host": "example.com"}},
    ],
)
def test_a_call_with_a_usage_error_is_rejected_without_repeating_the_secret(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        send("http://127.0.0.1:1/", {}, **arguments)  # type: ignore[arg-type] # wrong on purpose
    assert "canary" not in str(caught.value)


def test_it_is_imported_without_any_installed_package(root: Path) -> None:
    path = f"import sys; sys.path.insert(0, {str(root / 'deploy' / 'client')!r})"
    script = f"{path}; from hookchain import send; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert not {"yaml", "pydantic", "urllib3", "google", "jinja2"} & set(done.stdout.split())
