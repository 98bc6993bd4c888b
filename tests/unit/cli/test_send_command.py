import io
import json
from collections.abc import Generator
from pathlib import Path

import pytest

from deploy.cli.send import EXAMPLES, main
from deploy.config.compiler import compile_file
from shared.signatures.standard_webhooks import verify_standard
from tests.fakes.receiver import ScriptedReceiver, http_answer, receiver
from tests.unit.shared.hmac_verification import verify_hmac

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG = """
sources:
  form: {auth: {scheme: basic, username: web, secret: form-password}}
  git: {auth: {scheme: hmac, header: X-Sig, prefix: sha256=, secret: git-secret}}
  open: {auth: none}
  path: {auth: {scheme: path, secret: form-password}}
  query: {auth: {scheme: query, secret: form-password}}
  link: {methods: [GET], auth: {scheme: link, secret: form-password}}
"""


@pytest.fixture
def hook() -> Generator[ScriptedReceiver, None, None]:
    with receiver(http_answer(200, b'{"id":"3f2a9c"}')) as scripted:
        yield scripted


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some in the environment, one in .env; and a configuration of which only its sources matter."""
    monkeypatch.setenv("FORM_PASSWORD", "newest one\nolder one\n")
    monkeypatch.setenv("GIT_SECRET", "git's secret")
    (tmp_path / ".env").write_text("PAY_KEY=kept-in-dot-env\n")
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    type_in(monkeypatch, "")


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


def sent_with(tmp_path: Path, url: str, *arguments: str) -> int:
    return main([url, "--env-file", str(tmp_path / ".env"), *arguments])


def test_fields_make_a_body_of_texts_and_of_json(
    hook: ScriptedReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sent_with(tmp_path, hook.url, "event=a=b", "n:=[1, null]", "--extra", "env=dev") == 0
    assert json.loads(hook.bodies[0]) == {"event": "a=b", "n": [1, None], "env": "dev"}
    assert capsys.readouterr().out == "accepted as event 3f2a9c\n"


def test_what_is_not_changed_is_sent_byte_for_byte(
    hook: ScriptedReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "event.json").write_bytes(b'{ "a" : 1.0 }\n')
    sent_with(tmp_path, hook.url, "--file", str(tmp_path / "event.json"))
    sent_with(tmp_path, hook.url, "--data", " <a>1</a>")
    type_in(monkeypatch, "a: 1 # why\n")
    sent_with(tmp_path, hook.url, "--format", "yaml")
    assert hook.bodies == [b'{ "a" : 1.0 }\n', b" <a>1</a>", b"a: 1 # why\n"]
    types = [line for head in hook.heads for line in head.split("\r\n") if line.lower().startswith("content-type")]
    assert [line.split("/")[1] for line in types] == ["json", "xml", "yaml"]


def test_a_body_is_written_again_in_the_format_that_is_asked_for(hook: ScriptedReceiver, tmp_path: Path) -> None:
    sent_with(tmp_path, hook.url, "--data", '{"a": {"b": "c"}}', "--format", "xml")
    sent_with(tmp_path, hook.url, "--data", "<part no='7'>bolt</part>", "--format", "json")
    assert hook.bodies[0].endswith(b"<event><a><b>c</b></a></event>\n")
    assert json.loads(hook.bodies[1]) == {"part": {"@no": "7", "#text": "bolt"}}


def test_extra_fields_go_into_an_xml_documents_root_which_keeps_its_name(
    hook: ScriptedReceiver, tmp_path: Path
) -> None:
    sent_with(tmp_path, hook.url, "--data", "<part no='7'><n>1</n></part>", "--extra", "env=dev")
    assert hook.bodies[0].endswith(b'<part no="7"><n>1</n><env>dev</env></part>\n')


def test_a_secret_is_found_by_its_name_and_the_newest_value_counts(hook: ScriptedReceiver, tmp_path: Path) -> None:
    sent_with(tmp_path, hook.url, "a=1", "--secret", "form-password")
    assert hook.header("x-webhook-password") == "newest one"
    sent_with(tmp_path, hook.url, "a=1", "--secret", "pay-key", "--bearer")
    assert hook.header("authorization") == "Bearer kept-in-dot-env"
    sent_with(tmp_path, hook.url, "a=1", "--secret", "pay-key", "--password-header", "X-Key")
    assert hook.header("x-key") == "kept-in-dot-env"


def test_a_secret_can_come_from_standard_input(
    hook: ScriptedReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, WHSEC + "\n")
    sent_with(tmp_path, hook.url, "a=1", "--secret-stdin", "--id", "evt_1", "--standard-webhooks")
    webhook_id, timestamp, signature = (hook.header(f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    assert timestamp is not None
    verify_standard(webhook_id, timestamp, signature, hook.bodies[0], [WHSEC], float(timestamp))
    assert webhook_id == "evt_1"


def test_hmac_takes_header_algorithm_encoding_and_a_prefix_with_any_character(
    hook: ScriptedReceiver, tmp_path: Path
) -> None:
    sent_with(tmp_path, hook.url, "a=1", "--secret", "git-secret", "--hmac", "X-Sig:sha1:base64:v1:")
    verify_hmac(hook.header("x-sig"), hook.bodies[0], ["git's secret"], "sha1", "base64", "v1:")


def test_a_source_on_this_machine_gets_what_its_configuration_asks_for(
    hook: ScriptedReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_with(tmp_path, f"http://{hook.address}/git", "a=1")
    verify_hmac(hook.header("x-sig"), hook.bodies[0], ["git's secret"], "sha256", "hex", "sha256=")
    assert "source 'git'" in capsys.readouterr().err
    sent_with(tmp_path, f"http://{hook.address}/open", "a=1")
    sent_with(tmp_path, f"http://{hook.address}/elsewhere", "a=1")
    assert not [head for head in hook.heads[1:] if "secret" in head or "x-sig" in head.lower()]
    sent_with(tmp_path, f"http://{hook.address}/elsewhere", "a=1", "--source", "form")
    assert hook.header("authorization") == "Basic d2ViOm5ld2VzdCBvbmU="


def test_a_token_is_put_into_the_url_once(
    hook: ScriptedReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("path", "path/mine", "query", "query?a=1", "query?token=mine"):
        sent_with(tmp_path, f"http://{hook.address}/{url}", "a=1")
    assert [head.split(" ")[1] for head in hook.heads] == [
        "/path/newest%20one",
        "/path/mine",
        "/query?token=newest%20one",
        "/query?a=1&token=newest%20one",
        "/query?token=mine",
    ]
    output = capsys.readouterr()
    assert "newest" not in output.out + output.err
    assert "Authenticated as the source 'path' needs: path, secret 'form-password'" in output.err
    assert "without authentication" not in output.err


def test_a_configuration_that_is_named_counts_before_the_environments(hook: ScriptedReceiver, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("sources: {git: {auth: {scheme: bearer, secret: pay-key}}}")
    sent_with(tmp_path, f"http://{hook.address}/git", "a=1", "--config", str(tmp_path / "other.yaml"))
    assert hook.header("authorization") == "Bearer kept-in-dot-env"


def test_the_configuration_without_a_file_has_its_source_too(
    hook: ScriptedReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_ADDRESS", "a@example.com")
    monkeypatch.setenv("WEBHOOK_PASSWORD", "pass")
    sent_with(tmp_path, f"http://{hook.address}/webhook", "a=1", "--config", "none")
    assert (hook.header("authorization") or "").startswith("Basic ")


@pytest.mark.parametrize(
    ("change", "source", "reason"),
    [
        (("", ""), "hook", "hookchain.yaml has no source 'hook'"),
        (("", ""), "open", "the source 'open' needs none"),
        (("scheme: hmac", "scheme: hmmac"), "git", "hookchain.yaml has faults; see `hookchain lint`"),
    ],
)
def test_sending_without_authentication_prints_the_reason(
    change: tuple[str, str],
    source: str,
    reason: str,
    hook: ScriptedReceiver,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG.replace(*change) if change[0] else CONFIG)
    assert sent_with(tmp_path, f"http://{hook.address}/{source}", "a=1") == 0
    output = capsys.readouterr().err
    assert output.startswith("sent without authentication: ")
    assert reason in output


def test_what_is_not_sent_is_not_told_as_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sent_with(tmp_path, "open", "a=1")
    output = capsys.readouterr().err
    assert "URL: must begin with http" in output
    assert "sent without" not in output


def test_who_would_send_to_a_source_of_links_is_shown_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sent_with(tmp_path, "http://localhost:1/link", "a=1")
    assert "Make one with `hookchain link`" in capsys.readouterr().err


def test_a_named_secret_goes_the_way_of_its_source(
    hook: ScriptedReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_with(tmp_path, f"http://{hook.address}/git", "a=1", "--secret", "pay-key")
    verify_hmac(hook.header("x-sig"), hook.bodies[0], ["kept-in-dot-env"], "sha256", "hex", "sha256=")
    assert "Authenticated as the source 'git' needs: hmac, secret 'pay-key'" in capsys.readouterr().err


def test_a_file_ending_in_form_is_a_form(hook: ScriptedReceiver, tmp_path: Path) -> None:
    (tmp_path / "sample.form").write_text("a=1&b=2")
    sent_with(tmp_path, hook.url, "--file", str(tmp_path / "sample.form"))
    assert hook.bodies == [b"a=1&b=2"]
    assert hook.header("content-type") == "application/x-www-form-urlencoded"


def test_the_first_example_has_what_the_example_configuration_needs_for_a_mail() -> None:
    first = next(line for line in EXAMPLES.splitlines() if "hookchain send http" in line)
    fields = {word.partition("=")[0].rstrip(":") for word in first.split()[3:]}
    slices = compile_file(Path("deploy/hookchain.example.yaml"), {})
    assert "data.customerName" in str(slices["notify"])
    assert "customerName" in fields


def test_headers_more_are_sent_too(hook: ScriptedReceiver, tmp_path: Path) -> None:
    sent_with(tmp_path, hook.url, "a=1", "-H", "X-GitHub-Event: push", "-H", "X-Empty:")
    assert hook.header("x-github-event") == "push"


def test_a_rejection_is_reported_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with receiver(http_answer(401, b'{"code":"signature_mismatch"}')) as hook:
        assert sent_with(tmp_path, hook.url, "a=1") == 1
        assert sent_with(tmp_path, hook.url, "a=1", "--json") == 1
    message, as_json = capsys.readouterr().out.splitlines()
    assert message == "rejected: the signature does not match (401 signature_mismatch)"
    assert json.loads(as_json) == {
        "ok": False,
        "status": 401,
        "event_id": None,
        "code": "signature_mismatch",
        "message": message,
        "duplicate": False,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a=1", "--data", "{}"], "got two of them"),
        (["--data", "{}", "--file", "x"], "got both"),
        (["--data", "a: 1"], "the body's format is unknown. Give --format with one of: json, xml, yaml, form"),
        (["--data", "{", "--format", "xml"], "not JSON: Expecting property name enclosed in double quotes: line 1"),
        (["--file", "/no/such/file"], "error: /no/such/file cannot be opened: No such file"),
        (["a"], "Write name=text, or name:=JSON"),
        (["a:=x"], "For a text write a=…"),
        (["a=1", "-H", "X"], "--header: must be 'Name: value'"),
        (["a=1", "--secret", "Canary!"], "a secret's name, such as signup-password, and never its value"),
        (["a=1", "--secret", "no-such"], "there is no secret 'no-such'. Set NO_SUCH, or write it to .env"),
        (["a=1", "--basic", "web"], "the secret is missing. Name it with --secret"),
        (["a=1", "--source", "forn"], "there is no source 'forn'; did you mean 'form'?"),
        (["a=1", "--secret", "pay-key", "--standard-webhooks"], "'whsec_' and base64"),
        (["--secret-stdin"], "the body is missing"),
    ],
)
def test_a_usage_error_says_what_would_work(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sent_with(tmp_path, "http://127.0.0.1:9/hook", *arguments)
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert message in output
    assert "Canary!" not in output


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    assert "examples:" in output
    assert all(len(line) <= 120 for line in output.splitlines())


def test_a_secret_that_is_not_typed_is_none(
    hook: ScriptedReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_: str) -> str:
        raise EOFError

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("getpass.getpass", ended)
    with pytest.raises(SystemExit, match="2"):
        sent_with(tmp_path, hook.url, "--bearer", "a=b")
    assert "no secret was typed; nothing was sent" in capsys.readouterr().err
    assert not hook.bodies
