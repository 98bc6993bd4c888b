"""The commands send and trigger: what they send, to whom, and what they say if it is not confirmed."""

import io
import json
from collections.abc import Generator
from pathlib import Path

import pytest

from deploy.cli.send import was_known
from deploy.client.hookchain.outcome import Outcome
from deploy.config.local_ports import Ports
from deploy.config.running_dev import DevFile, write_dev_file
from deploy.requests.posting import send_until_confirmed
from shared.signatures.signing import hmac_signature
from tests.fakes.command import Command
from tests.fakes.kept import NOW, Kept
from tests.fakes.receiver import ScriptedReceiver, http_answer, receiver, unavailable
from tests.unit.shared.hmac_verification import verify_hmac

ACCEPTED = http_answer(200, b'{"id":"3f2a9c"}')
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
    with receiver(ACCEPTED) as scripted:
        yield scripted


@pytest.fixture
def send(command: Command, config: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """With secrets in the environment, one in .env, and a configuration of which only its sources matter."""
    monkeypatch.setenv("FORM_PASSWORD", "newest one\nolder one\n")
    monkeypatch.setenv("GIT_SECRET", "git's secret")
    dotenv = config.parent / ".env"
    dotenv.write_text("PAY_KEY=kept-in-dot-env\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    return command.partial("send", after=("--env-file", str(dotenv)))


def test_fields_make_a_body_of_texts_and_of_json(send: Command, hook: ScriptedReceiver) -> None:
    output = send(hook.url, "event=a=b", "n:=[1, null]", "--extra", "env=dev")
    assert json.loads(hook.bodies[0]) == {"event": "a=b", "n": [1, None], "env": "dev"}
    assert output == "accepted as event 3f2a9c\n"


def test_what_is_not_changed_is_sent_byte_for_byte(send: Command, hook: ScriptedReceiver, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(b'{ "a" : 1.0 }\n')
    send(hook.url, "--file", str(tmp_path / "event.json"))
    send(hook.url, "--data", " <a>1</a>")
    send(hook.url, "--format", "yaml", stdin="a: 1 # why\n")
    assert hook.bodies == [b'{ "a" : 1.0 }\n', b" <a>1</a>", b"a: 1 # why\n"]
    types = [line for head in hook.heads for line in head.split("\r\n") if line.lower().startswith("content-type")]
    assert [line.split("/")[1] for line in types] == ["json", "xml", "yaml"]


def test_a_secret_is_found_by_its_name_and_the_newest_value_counts(send: Command, hook: ScriptedReceiver) -> None:
    send(hook.url, "a=1", "--secret", "form-password")
    assert hook.header("x-webhook-password") == "newest one"
    send(hook.url, "a=1", "--secret", "pay-key", "--bearer")
    assert hook.header("authorization") == "Bearer kept-in-dot-env"
    send(hook.url, "a=1", "--secret", "pay-key", "--password-header", "X-Key")
    assert hook.header("x-key") == "kept-in-dot-env"


def test_a_secret_can_come_from_standard_input(send: Command, hook: ScriptedReceiver) -> None:
    send(hook.url, "a=1", "--secret-stdin", "--id", "evt_1", "--standard-webhooks", stdin=WHSEC + "\n")
    assert hook.header("webhook-id") == "evt_1"
    assert hook.header("webhook-signature")
    assert WHSEC.removeprefix("whsec_") not in hook.heads[0]


def test_hmac_takes_header_algorithm_encoding_and_any_prefix(send: Command, hook: ScriptedReceiver) -> None:
    send(hook.url, "a=1", "--secret", "git-secret", "--hmac", "X-Sig:sha1:base64:v1:")
    verify_hmac(hook.header("x-sig"), hook.bodies[0], ["git's secret"], "sha1", "base64", "v1:")


def test_a_source_on_this_machine_gets_what_its_configuration_asks_for(send: Command, hook: ScriptedReceiver) -> None:
    send(f"http://{hook.address}/git", "a=1")
    verify_hmac(hook.header("x-sig"), hook.bodies[0], ["git's secret"], "sha256", "hex", "sha256=")
    assert "source 'git'" in send.error
    send(f"http://{hook.address}/open", "a=1")
    send(f"http://{hook.address}/elsewhere", "a=1")
    assert not [head for head in hook.heads[1:] if "secret" in head or "x-sig" in head.lower()]
    send(f"http://{hook.address}/elsewhere", "a=1", "--source", "form")
    assert hook.header("authorization") == "Basic d2ViOm5ld2VzdCBvbmU="


def test_a_token_is_put_into_the_url_once(send: Command, hook: ScriptedReceiver) -> None:
    shown = ""
    for url in ("path", "path/mine", "query", "query?a=1", "query?token=mine"):
        send(f"http://{hook.address}/{url}", "a=1")
        shown += send.shown
    assert [head.split(" ")[1] for head in hook.heads] == [
        "/path/newest%20one",
        "/path/mine",
        "/query?token=newest%20one",
        "/query?a=1&token=newest%20one",
        "/query?token=mine",
    ]
    assert "newest" not in shown
    assert "Authenticated as the source 'path' needs: path, secret 'form-password'" in shown
    assert "without authentication" not in shown


@pytest.mark.parametrize(
    ("source", "reason"), [("hook", "hookchain.yaml has no source 'hook'"), ("open", "the source 'open' needs none")]
)
def test_sending_without_auth_prints_why(send: Command, source: str, reason: str, hook: ScriptedReceiver) -> None:
    send(f"http://{hook.address}/{source}", "a=1")
    assert send.error.startswith("sent without authentication: ")
    assert reason in send.error


def test_a_rejection_is_reported_and_ends_with_1(send: Command) -> None:
    with receiver(http_answer(401, b'{"code":"signature_mismatch"}')) as hook:
        message = send(hook.url, "a=1", code=1)
        found = send.json(hook.url, "a=1", code=1)
    assert message == "rejected: the signature does not match (401 signature_mismatch)\n"
    assert (found["ok"], found["status"], found["code"]) == (False, 401, "signature_mismatch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{}", "--file", "x"], "got both"),
        (["--data", "a: 1"], "the body's format is unknown. Give --format with one of: json, xml, yaml, form"),
        (["--file", "/no/such/file"], "error: /no/such/file cannot be opened: No such file"),
        (["a=1", "-H", "X"], "--header: must be 'Name: value'"),
        (["a=1", "--secret", "Canary!"], "a secret's name, such as signup-password, and never its value"),
        (["a=1", "--secret", "no-such"], "there is no secret 'no-such'. Set NO_SUCH, or write it to .env"),
        (["a=1", "--basic", "web"], "the secret is missing. Name it with --secret"),
        (["a"], "Write name=text, or name:=JSON"),
        (["a=1", "a=2"], "given twice. For a list, write a:=[…]"),
        (["a:=x"], "For a text write a=…"),
        (["--secret-stdin"], "the body is missing"),
    ],
)
def test_a_usage_error_says_what_would_work(send: Command, arguments: list[str], message: str) -> None:
    send("http://127.0.0.1:9/hook", *arguments, code=2)
    assert message in send.error
    assert "Canary!" not in send.error


def test_an_event_that_is_not_confirmed_is_sent_again(send: Command) -> None:
    with receiver(unavailable(), ACCEPTED) as hook:
        assert send(hook.url, "a=1", "--bearer", "--secret", "git-secret") == "accepted as event 3f2a9c\n"
    assert len({head.partition("webhook-id: ")[2].split()[0] for head in hook.heads}) == 1
    assert hook.bodies == [b'{"a":"1"}'] * 2
    assert send.error == "not confirmed (503 unavailable): sending it again in 0 s (2 of 3)\n"


@pytest.mark.parametrize(("asked", "waits"), [(None, [5.0, 5.0]), (30.0, [30.0, 30.0]), (31.0, [])])
def test_an_event_that_is_to_wait_for_long_is_not_sent_again(asked: float | None, waits: list[float]) -> None:
    waited: list[float] = []
    outcome = Outcome(False, 503, "", code="unavailable", retry_after_seconds=asked)
    assert send_until_confirmed(lambda: outcome, lambda each: each, sleep=waited.append) is outcome
    assert waited == waits


def test_an_event_that_had_already_arrived_at_the_dev_of_this_machine_is_a_duplicate(kept: Kept) -> None:
    event_id = kept.event("4f2a9c0d").id
    write_dev_file(kept.folder, DevFile(Ports(8080, 8081, 8082, 8083, 8084)))
    assert was_known(event_id, "http://localhost:8080/web", NOW + 1, kept.folder)
    assert not was_known(event_id, "http://localhost:8080/web", NOW, kept.folder), "it has just arrived"
    assert not was_known(event_id, "https://hooks.example.com/web", NOW + 1, kept.folder), "another receiver"


TRIGGER_CONFIG = """
sources:
  hub: {provider: github, secret: hub-secret}
  chat: {provider: discord, secret: chat-key}
  open: {auth: none}
"""
SECRET = "the-hub-secret-of-some-length"
REFUSED = http_answer(401, b'{"title":"no","code":"signature_mismatch"}')


@pytest.fixture
def trigger(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "hookchain.yaml").write_text(TRIGGER_CONFIG)
    (tmp_path / ".env").write_text(f"HUB_SECRET={SECRET}\nMAILGUN_SECRET=a-mailgun-key-0123\n")
    monkeypatch.chdir(tmp_path)
    return command.partial("trigger", after=("--config", "hookchain.yaml", "--env-file", ".env", "--state", "state"))


def test_a_signed_sample_goes_to_the_source_of_its_provider(trigger: Command, hook: ScriptedReceiver) -> None:
    output = trigger("github", "--to", f"http://{hook.address}")
    assert hook.heads[0].startswith("POST /hub HTTP/1.1")
    assert hook.header("x-hub-signature-256") == hmac_signature(hook.bodies[0], SECRET, prefix="sha256=")
    assert hook.header("x-github-event") == "push"
    assert output.endswith("accepted as event 3f2a9c\n")


def test_a_source_without_a_provider_is_named_with_a_command_that_sends_to_it(trigger: Command) -> None:
    trigger("open", code=2)
    assert "the source 'open' has no provider" in trigger.error
    assert "hookchain smoke --source open" in trigger.error


@pytest.mark.parametrize(
    ("provider", "part", "answer", "code", "verdict"),
    [
        ("github", "signature", REFUSED, 0, "(401 signature_mismatch), as expected\n"),
        ("github", "body", ACCEPTED, 1, "; IT SHOULD HAVE BEEN REJECTED\n"),
        ("github", "signature", unavailable(), 1, "; neither accepted nor rejected\n"),
        ("aws_sns", "signature", unavailable(), 1, "nor rejected: the provider's public key cannot be fetched\n"),
    ],
)
def test_what_is_broken_must_be_rejected(
    trigger: Command, provider: str, part: str, answer: bytes, code: int, verdict: str
) -> None:
    with receiver(answer) as hook:
        assert verdict in trigger(provider, "--break", part, "--to", hook.url, code=code)
    [head] = hook.heads  # it is sent once, also after a 503
    assert hmac_signature(hook.bodies[0], SECRET) not in head


def test_a_handshake_is_reported_by_its_answer(trigger: Command) -> None:
    with receiver(http_answer(200, b"the challenge")) as hook:
        assert "answered (200): the challenge" in trigger("dropbox", "challenge", "--to", hook.url)
    assert hook.heads[0].startswith("GET /hook?challenge=hookchain-")


def test_without_a_key_of_our_own_a_public_key_cannot_be_signed_for(trigger: Command) -> None:
    trigger("discord", code=1)
    assert "only the provider has the private key" in trigger.error
    assert "--make-key" in trigger.error


def test_our_own_key_pair_signs_for_the_provider(trigger: Command, hook: ScriptedReceiver, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('CHAT_KEY="the provider\'s own public key"\n')
    output = trigger("discord", "--make-key") + trigger("discord", "--to", hook.url)
    assert hook.header("x-signature-ed25519")
    assert (tmp_path / "state/keys/chat-key.pem").stat().st_mode & 0o777 == 0o600
    assert "the provider's own public key" in (tmp_path / ".env").read_text()
    assert "PRIVATE" not in output + (tmp_path / ".env").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("githbu",), "did you mean 'github'?"),
        (("github", "pusch"), "`hookchain trigger github --list` lists them"),
        (("stripe", "--to", "http://127.0.0.1:9/x"), "there is no secret 'stripe-secret'"),
        (("github", "--variant", "legacy_sha1"), "the source has no variant 'legacy_sha1'; it has sha256"),
    ],
)
def test_a_usage_error_says_so(trigger: Command, arguments: tuple[str, ...], message: str) -> None:
    trigger(*arguments, code=2)
    assert message in trigger.error


def test_if_nothing_listens_the_message_names_the_command_to_start(
    trigger: Command, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT_BASE", str(free_port))
    assert trigger("github", code=1).endswith("; start `make dev`\n")
    assert "make dev" not in trigger("github", "--to", f"http://127.0.0.1:{free_port}", code=1)
