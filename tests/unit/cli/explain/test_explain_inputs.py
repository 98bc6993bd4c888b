"""What `hookchain explain` takes: files, standard input and curl lines, and what it shows of them."""

import base64
import io
import json
from pathlib import Path

import pytest

from deploy.cli.explain import main
from tests.unit.cli.explain.explained import BODY, document, explained, signed, states


@pytest.mark.parametrize(
    "given", [("--source", "github", "--file", "lost.json"), ("--curl", "curl -d @lost.json http://x/")]
)
def test_a_file_that_is_not_there_is_reported(given: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "hookchain.yaml", "--env-file", ".env", *given]) == 2
    assert capsys.readouterr().err == "hookchain explain: lost.json cannot be opened: No such file or directory\n"


def test_a_slash_too_many_is_reported_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    explained(BODY, "--url", "http://localhost/github/")
    output = capsys.readouterr().out
    assert "the path must be the source's name alone" in output
    assert "did you mean" not in output


def test_a_key_from_elsewhere_cannot_be_had_offline(capsys: pytest.CaptureFixture[str]) -> None:
    message = {
        "Type": "Notification",
        "MessageId": "1",
        "Message": "x",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orchard",
        "Timestamp": "2026-09-21T14:13:20.000Z",
        "SignatureVersion": "2",
        "Signature": base64.b64encode(b"x").decode(),
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.pem",
    }
    assert explained(json.dumps(message).encode(), "--source", "sns", "--json") == 3
    report = document(capsys)
    assert report["status"] == 503
    assert states(report)["key"] == "failed"


def test_the_body_may_come_on_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BODY)))
    places = ["--config", "hookchain.yaml", "--env-file", ".env", "--file", "-"]
    assert main([*places, "--source", "github", "-H", signed(BODY)]) == 0
    assert "Accepted: 200 OK" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--source", "github", "-H", "no colon"),
        ("--source", "github", "--file", "no-such-file"),
        ("--source", "github", "--config", "no-such.yaml"),
    ],
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


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("curl -u web:correct-horse-battery -d event=x http://localhost:8080/form", None),
        ("curl -u web:wrong -d event=x http://localhost:8080/form", "password_mismatch"),
        ("curl -X DELETE http://localhost:8080/open", "method_not_allowed"),
        ("curl -s localhost:8080/open --json '{}'", None),
        ("curl http://localhost:8080/open -H 'Content-Type: application/json' --data-binary @body", None),
    ],
)
def test_a_curl_line_is_a_request_too(line: str, code: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("body").write_bytes(BODY)
    places = ["--config", "hookchain.yaml", "--env-file", ".env", "--from", "192.0.2.7", "--json"]
    assert main([*places, "--curl", line]) == (3 if code else 0)
    assert document(capsys)["code"] == code


def test_a_curl_line_that_is_not_understood_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "hookchain.yaml", "--env-file", ".env", "--curl", "curl --proxy x http://a/b"]) == 2
    assert "cannot parse this curl line" in capsys.readouterr().err


def test_an_answer_in_a_sources_own_words_moves_no_terminals_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(b'{"name": "\\u001b]0;mine\\u0007\\u202eAda"}', "--source", "echo") == 0
    output = capsys.readouterr().out
    assert "thanks, " in output
    assert not {"\x1b", "\x07", "\u202e"} & set(output)
