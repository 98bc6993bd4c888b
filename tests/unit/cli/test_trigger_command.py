"""`hookchain trigger` as a person meets it: what it sends, what it says, and how it ends."""

from collections.abc import Generator
from pathlib import Path

import pytest

from shared.signatures.signing import hmac_signature
from tests.fakes.command import Command
from tests.fakes.receiver import ScriptedReceiver, http_answer, receiver, unavailable

CONFIG = """
sources:
  hub: {provider: github, secret: hub-secret}
  chat: {provider: discord, secret: chat-key}
  open: {auth: none}
"""
SECRET = "the-hub-secret-of-some-length"
ACCEPTED = http_answer(200, b'{"id":"3f2a9c"}')
REFUSED = http_answer(401, b'{"title":"no","code":"signature_mismatch"}')


@pytest.fixture
def trigger(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(f"HUB_SECRET={SECRET}\nMAILGUN_SECRET=a-mailgun-key-0123\n")
    monkeypatch.chdir(tmp_path)
    return command.partial("trigger", after=("--config", "hookchain.yaml", "--env-file", ".env", "--state", "state"))


@pytest.fixture
def hook() -> Generator[ScriptedReceiver, None, None]:
    with receiver(ACCEPTED) as scripted:
        yield scripted


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


def test_what_is_broken_and_rejected_is_as_it_should_be(trigger: Command) -> None:
    with receiver(REFUSED) as hook:
        output = trigger("github", "--break", "signature", "--to", hook.url)
        assert hook.header("x-hub-signature-256") != hmac_signature(hook.bodies[0], SECRET, prefix="sha256=")
    assert "(401 signature_mismatch), as expected" in output


def test_what_is_broken_and_accepted_is_an_alarm(trigger: Command, hook: ScriptedReceiver) -> None:
    assert "IT SHOULD HAVE BEEN REJECTED" in trigger("github", "--break", "body", "--to", hook.url, code=1)


@pytest.mark.parametrize(
    ("provider", "message"), [("aws_sns", "the provider's public key cannot be fetched"), ("github", "")]
)
def test_what_is_broken_and_not_decided_is_no_alarm(trigger: Command, provider: str, message: str) -> None:
    with receiver(unavailable()) as hook:
        output = trigger(provider, "--break", "signature", "--to", hook.url, code=1)
    assert len(hook.heads) == 1
    assert "neither accepted nor rejected" in output
    assert message in output
    assert "SHOULD" not in output


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
