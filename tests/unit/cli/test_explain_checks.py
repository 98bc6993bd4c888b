"""`hookchain explain`: what would happen to a request, offline, in words and in JSON."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from functions.transform.transform import first_with_signed_bytes
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import LocalDocuments
from shared.event import from_cloudevent
from shared.jsontext import JsonObject
from shared.signatures.links import EXPIRES, SIGNATURE, link_signature
from tests.fakes.command import Command, as_objects

NOW = 1_790_000_000
SECRET = "the-hub-secret-of-some-length"
LINK_KEY = "a key for links, long enough"
BODY = b'{"action":"opened","sender":{"login":"ann"}}'
CONFIG = """
sources:
  github: {provider: github, secret: github-secret}
  stripe: {provider: stripe, secret: stripe-secret}
  slack: {provider: slack, secret: slack-secret}
  form: {auth: {scheme: basic, username: web, secret: form-password}, allow: [192.0.2.0/24]}
  behind: {auth: none, allow: [192.0.2.0/24], trusted_proxies: 1}
  go: {methods: [GET], auth: {scheme: link, secret: link-key}}
  open: {auth: none, content_types: [application/json]}
  small: {auth: none, max_body_bytes: 10}
  lost: {auth: {scheme: bearer, secret: nowhere-to-be-found}}
  sns: {provider: aws_sns}
  echo: {auth: none, respond: {content_type: text/plain, body: "thanks, {{ data.name }}"}}
routes:
  - {name: all of it, from: all, to: ops}
destinations:
  ops: {email: {to: [ops@example.com], subject: "{{ type }}"}}
"""
DOTENV = f"""
GITHUB_SECRET={SECRET}
STRIPE_SECRET=whsec_stripes-own-secret
SLACK_SECRET=slacks-own-secret-0123
FORM_PASSWORD=correct-horse-battery
LINK_KEY={LINK_KEY}
"""


@pytest.fixture
def explain(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Explains the file `body`."""
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(DOTENV)
    (tmp_path / "body").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    places = ("--config", "hookchain.yaml", "--env-file", ".env", "--now", str(NOW), "--body", "body")
    return command.partial("explain", *places)


def states(report: JsonObject) -> dict[str, str]:
    return {str(check["name"]): str(check["state"]) for check in as_objects(report["checks"])}


def signed(*headers: str) -> list[str]:
    """Return the arguments of GitHub's request with BODY."""
    signature = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    given = (f"X-Hub-Signature-256: sha256={signature}", *headers)
    return ["--source", "github", *(word for header in given for word in ("-H", header))]


def test_an_accepted_request_shows_its_event(explain: Command) -> None:
    report = explain.json(*signed("X-GitHub-Event: issues"))
    assert (report["status"], report["code"]) == (200, None)
    assert set(states(report).values()) <= {"passed", "skipped"}
    [event] = as_objects(report["events"])
    assert (event["type"], event["actor"], event["receivedat"]) == ("issues", "ann", "2026-09-21T14:13:20.000Z")


def test_a_rejected_request_names_the_check_and_what_comes_behind_it_was_never_made(explain: Command) -> None:
    Path("body").write_bytes(BODY + b"\n")
    report = explain.json(*signed(), code=3)
    assert (report["status"], report["code"], report["events"]) == (401, "signature_mismatch", [])
    found = states(report)
    assert found["path"] == found["size"] == found["secret"] == "passed"
    assert found["signature"] == "failed"
    assert found["parse"] == found["event"] == "skipped"
    assert "ends in a newline that was not signed" in str(report["advice"])


def test_what_is_known_of_the_secret_does_not_hide_the_other_causes_of_a_wrong_signature(
    explain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "github-secret").write_text("an older secret of some length")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    advice = str(explain.json(*signed(), code=3)["advice"])
    assert "the body was changed on the way" in advice
    assert "which overrides GITHUB_SECRET; that has another value" in advice


@pytest.mark.parametrize(
    ("expires", "code", "signature", "message"),
    [
        (NOW + 60, 0, "passed", "valid until 2026-09-21T14:14:20.000Z"),
        (NOW - 60, 3, "passed", "the link's time is over"),
        (None, 0, "passed", "valid without a time limit"),
    ],
)
def test_a_link_is_reported_with_its_end(
    explain: Command, expires: int | None, code: int, signature: str, message: str
) -> None:
    pairs = [("a", "1"), *([] if expires is None else [(EXPIRES, str(expires))])]
    url = f"http://localhost:8080/go?{urlencode([*pairs, (SIGNATURE, link_signature('go', pairs, LINK_KEY))])}"
    Path("body").write_bytes(b"")
    assert states(explain.json("--method", "GET", "--url", url, code=code))["signature"] == signature
    assert message in explain.shown
    assert "GET; this source accepts GET, HEAD" in explain.shown  # as a 405 says


@pytest.mark.parametrize(
    ("arguments", "code", "check"),
    [
        (("--url", "http://localhost/githb"), "unknown_source", "path"),
        (("--source", "open", "--method", "DELETE"), "method_not_allowed", "method"),
        (("--source", "open", "-H", "Content-Length: 99999999999"), "body_too_large", "size"),
        (("--source", "small"), "body_too_large", "size"),
        (
            ("--source", "open", "-H", "Content-Type: application/json", "-H", "Content-Encoding: br"),
            "unsupported_encoding",
            "encoding",
        ),
        (("--source", "open", "-H", "Content-Type: text/plain"), "unsupported_content_type", "content type"),
        (("--source", "form", "--from", "198.51.100.7"), "address_not_allowed", "address"),
        (("--source", "form", "--from", "192.0.2.7"), "password_mismatch", "signature"),
        (("--source", "lost"), "secret_unavailable", "secret"),
    ],
)
def test_each_check_is_reported_by_name(explain: Command, arguments: tuple[str, ...], code: str, check: str) -> None:
    report = explain.json(*arguments, code=3)
    assert report["code"] == code
    assert [name for name, state in states(report).items() if state == "failed"] == [check]


@pytest.mark.parametrize(
    ("source", "forwarded", "message"),
    [
        ("behind", "192.0.2.7, 203.0.113.9", "203.0.113.9, from X-Forwarded-For behind 1 trusted proxy, is not within"),
        ("behind", "canary", "no address, from X-Forwarded-For"),
        ("form", "192.0.2.7", "198.51.100.7, the address that connects (X-Forwarded-For counts only"),
    ],
)
def test_an_address_that_is_rejected_is_reported_with_whose_word_it_was_taken_by(
    explain: Command, source: str, forwarded: str, message: str
) -> None:
    explain.json("--source", source, "--from", "198.51.100.7", "-H", f"X-Forwarded-For: {forwarded}", code=3)
    assert message in explain.shown
    assert "canary" not in explain.shown


def test_the_same_signed_bytes_under_another_delivery_id_are_reported_as_a_duplicate(
    explain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    [event] = as_objects(explain.json(*signed("X-GitHub-Delivery: one"))["events"])
    owners = DocumentOwners(LocalDocuments(tmp_path / "owners.db", "owners"))
    asyncio.run(first_with_signed_bytes(from_cloudevent(event), owners))  # as transform does
    owners.close()

    text = " ".join(explain(*signed("X-GitHub-Delivery: two"), code=4).split())
    assert "the delivery id is not signed" in text
    assert "same_signed_bytes: the event" in text
    assert "`dedupe: delivery_id`" in text
    assert "duplicate" not in states(explain.json(*signed("X-GitHub-Delivery: one")))


@pytest.mark.parametrize(
    "arguments",
    [(), ("--source", "github", "--file", "no-such-file"), ("--source", "github", "--config", "no-such.yaml")],
)
def test_a_usage_error_says_so(explain: Command, command: Command, arguments: tuple[str, ...]) -> None:
    command("explain", "--config", "hookchain.yaml", "--env-file", ".env", *arguments, code=2)
    assert command.error.startswith("hookchain explain: ")


def test_no_secret_and_no_header_is_shown(explain: Command) -> None:
    password = base64.b64encode(b"web:correct-horse-battery").decode()
    headers = ["-H", f"Authorization: Basic {password}", "-H", "X-Other: canary-0123456789"]
    text = explain("--source", "form", "--from", "192.0.2.7", *headers)
    for secret in ("correct-horse-battery", password, "canary-0123456789"):
        assert secret not in text


def test_a_key_from_elsewhere_cannot_be_had_offline(explain: Command) -> None:
    message = {
        "Type": "Notification",
        "MessageId": "1",
        "Message": "x",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:a",
        "Timestamp": "2026-09-21T14:13:20.000Z",
        "SignatureVersion": "2",
        "Signature": "eA==",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.pem",
    }
    Path("body").write_text(json.dumps(message))
    report = explain.json("--source", "sns", code=3)
    assert (report["status"], states(report)["key"]) == (503, "failed")
