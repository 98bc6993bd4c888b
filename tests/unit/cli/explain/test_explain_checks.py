"""`hookchain explain`: what would happen to a request, offline, in words and in JSON."""

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from deploy.cli.explain import main
from functions.transform.transform import first_with_signed_bytes
from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import LocalDocuments
from shared.event import from_cloudevent
from shared.signatures.links import EXPIRES, SIGNATURE, link_signature
from tests.unit.cli.explain.explained import BODY, LINK_KEY, NOW, document, explained, signed, states


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


def test_what_is_known_of_the_secret_does_not_hide_the_other_causes_of_a_wrong_signature(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "github-secret").write_text("an older secret of some length")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    assert explained(BODY, "--source", "github", "-H", signed(BODY), "--json") == 3
    advice = str(document(capsys)["advice"])
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
    expires: int | None, code: int, signature: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("a", "1"), *([] if expires is None else [(EXPIRES, str(expires))])]
    url = f"http://localhost:8080/go?{urlencode([*pairs, (SIGNATURE, link_signature('go', pairs, LINK_KEY))])}"
    assert explained(b"", "--method", "GET", "--url", url, "--json") == code
    text = capsys.readouterr().out
    assert states(json.loads(text))["signature"] == signature
    assert message in text
    assert "GET; this source accepts GET, HEAD" in text  # as a 405 says


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
def test_each_check_is_reported_by_its_name(
    arguments: tuple[str, ...], code: str, check: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(BODY, *arguments, "--json") == 3
    report = document(capsys)
    assert report["code"] == code
    assert [name for name, state in states(report).items() if state == "failed"] == [check]


@pytest.mark.parametrize(
    ("source", "forwarded", "message"),
    [
        ("behind", "192.0.2.7, 203.0.113.9", "203.0.113.9, from X-Forwarded-For behind 1 trusted proxy, is not within"),
        ("behind", "canary", "no address, from X-Forwarded-For"),
        (
            "form",
            "192.0.2.7",
            "198.51.100.7, the address that connects (X-Forwarded-For counts only with `trusted_proxies`)",
        ),
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


@pytest.mark.parametrize(
    "arguments",
    [(), ("--source", "github", "--file", "no-such-file"), ("--source", "github", "--config", "no-such.yaml")],
)
def test_a_usage_error_says_so(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "hookchain.yaml", "--env-file", ".env", *arguments]) == 2
    assert capsys.readouterr().err.startswith("hookchain explain: ")


def test_no_secret_and_no_header_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    password = base64.b64encode(b"web:correct-horse-battery").decode()
    headers = ["-H", f"Authorization: Basic {password}", "-H", "X-Other: canary-0123456789"]
    assert explained(BODY, "--source", "form", "--from", "192.0.2.7", *headers) == 0
    text = capsys.readouterr().out
    for secret in ("correct-horse-battery", password, "canary-0123456789"):
        assert secret not in text


def test_a_key_from_elsewhere_cannot_be_had_offline(capsys: pytest.CaptureFixture[str]) -> None:
    fields = ("Type", "MessageId", "Message", "TopicArn", "Timestamp", "SignatureVersion", "Signature")
    values = (
        "Notification",
        "1",
        "x",
        "arn:aws:sns:eu-central-1:123456789012:a",
        "2026-09-21T14:13:20.000Z",
        "2",
        "eA==",
    )
    message = dict(zip(fields, values, strict=True))
    message["SigningCertURL"] = "https://sns.eu-central-1.amazonaws.com/x.pem"
    assert explained(json.dumps(message).encode(), "--source", "sns", "--json") == 3
    report = document(capsys)
    assert (report["status"], states(report)["key"]) == (503, "failed")
