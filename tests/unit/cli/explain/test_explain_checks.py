"""`hookchain explain`: what would happen to a request, offline, in words and in JSON."""

import asyncio
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
from shared.signatures.links import EXPIRES, SIGNATURE, link_signature
from tests.unit.cli.explain.explained import BODY, LINK_KEY, NOW, SECRET, document, explained, signed, states


def test_an_accepted_request_shows_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    code = explained(BODY, "--source", "github", "-H", signed(BODY), "-H", "X-GitHub-Event: issues", "--json")
    report = document(capsys)
    assert code == 0
    assert (report["status"], report["code"]) == (200, None)
    assert set(states(report).values()) <= {"passed", "skipped"}
    [event] = report["events"] if isinstance(report["events"], list) else []
    assert isinstance(event, dict)
    assert (event["type"], event["actor"], event["receivedat"]) == ("issues", "ann", "2026-09-21T14:13:20.000Z")


def test_a_rejected_request_names_the_check_and_what_comes_behind_it_was_never_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explained(BODY + b"\n", "--source", "github", "-H", signed(BODY), "--json") == 3
    report = document(capsys)
    assert (report["status"], report["code"], report["events"]) == (401, "signature_mismatch", [])
    found = states(report)
    assert found["path"] == found["size"] == found["secret"] == "passed"
    assert found["signature"] == "failed"
    assert found["parse"] == found["event"] == "skipped"
    assert "ends in a newline that was not signed" in str(report["advice"])


def test_the_words_are_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(BODY + b"\n", "--url", "https://hooks.example.com/github", "-H", signed(BODY)) == 3
    text = capsys.readouterr().out
    assert "Rejected: 401 Unauthorized, code sig" in text
    assert "not reached" in text
    assert SECRET not in text


def test_an_old_signature_is_reported_with_its_age(capsys: pytest.CaptureFixture[str]) -> None:
    at = NOW - 7 * 60
    mac = hmac.new(b"whsec_stripes-own-secret", f"{at}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert explained(BODY, "--source", "stripe", "-H", f"Stripe-Signature: t={at},v1={mac}", "--json") == 3
    report = document(capsys)
    assert report["code"] == "timestamp_out_of_range"
    assert states(report)["signature"] == "passed"
    assert "signed 7 minutes ago, the limit is 5 minutes" in str(report["advice"])


@pytest.mark.parametrize(
    ("expires", "code", "signature", "message"),
    [
        (NOW + 60, 0, "passed", "valid until 2026-09-21T14:14:20.000Z"),
        (NOW - 60, 3, "passed", "the link's time is over"),
        (None, 0, "passed", "valid without a time limit"),
    ],
)
def test_a_link_is_reported_with_its_end(
    expires: int | None, code: int, signature: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("a", "1"), *([] if expires is None else [(EXPIRES, str(expires))])]
    url = f"http://localhost:8080/go?{urlencode([*pairs, (SIGNATURE, link_signature('go', pairs, LINK_KEY))])}"
    assert explained(b"", "--method", "GET", "--url", url, "--json") == code
    text = capsys.readouterr().out
    assert states(json.loads(text))["signature"] == signature
    assert message in text


def test_an_old_signature_that_is_not_right_either_fails_twice(capsys: pytest.CaptureFixture[str]) -> None:
    header = f"Stripe-Signature: t={NOW - 420},v1={'0' * 64}"
    assert explained(BODY, "--source", "stripe", "-H", header, "--json") == 3
    found = states(document(capsys))
    assert (found["signature"], found["time"]) == ("failed", "failed")


def test_the_same_is_accepted_when_it_came_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    mac = hmac.new(b"whsec_stripes-own-secret", f"{NOW}.".encode() + BODY, hashlib.sha256).hexdigest()
    header = f"Stripe-Signature: t={NOW},v1={mac}"
    assert explained(BODY, "--source", "stripe", "-H", header, now=NOW + 12) == 0
    assert "signed 12 seconds ago, the limit is 5 minutes" in capsys.readouterr().out


def test_a_handshake_is_answered_and_makes_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"type":"url_verification","challenge":"abc"}'
    mac = hmac.new(b"slacks-own-secret-0123", f"v0:{NOW}:".encode() + body, hashlib.sha256).hexdigest()
    headers = ["-H", f"X-Slack-Signature: v0={mac}", "-H", f"X-Slack-Request-Timestamp: {NOW}"]
    assert explained(body, "--source", "slack", *headers, "--json") == 0
    report = document(capsys)
    assert (report["status"], report["reply"], report["events"]) == (200, "abc", [])
    assert states(report)["handshake"] == "passed"


@pytest.mark.parametrize(
    ("arguments", "code", "check"),
    [
        (("--url", "http://localhost/githb"), "unknown_source", "path"),
        (("--source", "open", "--method", "DELETE"), "method_not_allowed", "method"),
        (("--source", "open", "-H", "Content-Length: 99999999999"), "body_too_large", "size"),
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
def test_each_check_is_reported_by_its_name(
    arguments: tuple[str, ...], code: str, check: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(BODY, *arguments, "--json") == 3
    report = document(capsys)
    assert report["code"] == code
    assert [name for name, state in states(report).items() if state == "failed"] == [check]


@pytest.mark.parametrize(
    ("body", "code", "check"),
    [
        (b"{", "malformed_body", "parse"),
        (b'{"a":1,"a":2}', "duplicate_key", "limits"),
        (b"[" * 5000, "nested_too_deeply", "limits"),
    ],
)
def test_a_fault_in_a_body_is_reported(body: bytes, code: str, check: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(body, "--source", "open", "-H", "Content-Type: application/json", "--json") == 3
    report = document(capsys)
    assert report["code"] == code
    assert states(report)[check] == "failed"


@pytest.mark.parametrize(
    ("source", "forwarded", "message"),
    [
        (
            "form",
            "192.0.2.7",
            "198.51.100.7, the address that connects (X-Forwarded-For counts only with `trusted_proxies`)",
        ),
        ("behind", "192.0.2.7, 203.0.113.9", "203.0.113.9, from X-Forwarded-For behind 1 trusted proxy, is not within"),
        ("behind", "canary", "no address, from X-Forwarded-For"),
    ],
)
def test_an_address_that_is_rejected_is_reported_with_whose_word_it_was_taken_by(
    source: str, forwarded: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = ("--source", source, "--from", "198.51.100.7", "-H", f"X-Forwarded-For: {forwarded}")
    assert explained(BODY, *sent, "--json") == 3
    text = capsys.readouterr().out
    assert message in text
    assert "canary" not in text


def test_an_unknown_source_is_reported_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    explained(BODY, "--url", "http://localhost/githb")
    assert "did you mean 'github'?" in capsys.readouterr().out


def test_the_same_signed_bytes_under_another_delivery_id_are_reported_as_a_duplicate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path))
    explained(BODY, "--source", "github", "-H", signed(BODY), "-H", "X-GitHub-Delivery: one", "--json")
    report = document(capsys)
    [event] = report["events"] if isinstance(report["events"], list) else []
    owners = DocumentOwners(LocalDocuments(tmp_path / "owners.db", "owners"))
    asyncio.run(first_with_signed_bytes(from_cloudevent(event), owners))  # as transform does
    owners.close()

    explained(BODY, "--source", "github", "-H", signed(BODY), "-H", "X-GitHub-Delivery: two")
    text = " ".join(capsys.readouterr().out.split())
    assert "the delivery id is not signed" in text
    assert "same_signed_bytes: the event" in text
    assert "`dedupe: delivery_id`" in text
    explained(BODY, "--source", "github", "-H", signed(BODY), "-H", "X-GitHub-Delivery: one", "--json")
    assert "duplicate" not in states(document(capsys))


def test_an_unsigned_handshake_is_answered_and_makes_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"type": "url_verification", "challenge": "abc", "token": "t"}'
    assert explained(body, "--source", "slack", "--unsigned", "-H", "Content-Type: application/json") == 0
    output = capsys.readouterr().out
    assert "handshake url_verification: answered; no event is created" in output
    assert "delivery" not in output.split("Accepted: ")[1]


def test_an_unsigned_link_is_accepted_by_the_methods_of_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://localhost:8080/go?serial=7"
    assert explained(b"", "--url", url, "--method", "GET", "--unsigned") == 0
    assert "1 delivery" in capsys.readouterr().out
    assert explained(b"{}", "--source", "go", "--unsigned") == 3
    assert "this source takes GET, HEAD" in capsys.readouterr().out


def test_an_unsigned_request_says_nothing_of_an_id_that_the_signature_decides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    headers = ("-H", "Content-Type: application/json", "-H", "X-GitHub-Event: push", "-H", "X-GitHub-Delivery: 77")
    assert explained(BODY, "--source", "github", "--unsigned", *headers) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "- id not checked (--unsigned): the signed bytes decide which requests are one event" in output
