"""`hookchain trigger` as a person meets it: what it sends, what it says, and how it ends."""

from collections.abc import Generator
from pathlib import Path

import pytest

from deploy.cli.trigger import main
from shared.signatures.signing import hmac_signature
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


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG)
    (tmp_path / ".env").write_text(f"HUB_SECRET={SECRET}\nMAILGUN_SECRET=a-mailgun-key-0123\n")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hook() -> Generator[ScriptedReceiver, None, None]:
    with receiver(ACCEPTED) as scripted:
        yield scripted


def triggered(*arguments: str) -> int:
    return main([*arguments, "--config", "hookchain.yaml", "--env-file", ".env", "--state", "state"])


def test_a_sample_goes_signed_to_the_source_that_takes_from_the_provider(
    hook: ScriptedReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert triggered("github", "--to", f"http://{hook.address}") == 0
    assert hook.heads[0].startswith("POST /hub HTTP/1.1")
    assert hook.header("x-hub-signature-256") == hmac_signature(hook.bodies[0], SECRET, prefix="sha256=")
    assert hook.header("x-github-event") == "push"
    assert capsys.readouterr().out.endswith("accepted as event 3f2a9c\n")


def test_a_source_without_a_provider_is_named_with_a_command_that_sends_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert triggered("open") == 2
    error = capsys.readouterr().err
    assert "the source 'open' has no provider" in error
    assert "hookchain send http://localhost:8080/open --source open" in error


def test_what_is_broken_and_rejected_is_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    with receiver(REFUSED) as hook:
        assert triggered("github", "--break", "signature", "--to", hook.url) == 0
        assert hook.header("x-hub-signature-256") != hmac_signature(hook.bodies[0], SECRET, prefix="sha256=")
    assert "(401 signature_mismatch), as expected" in capsys.readouterr().out


def test_what_is_broken_and_accepted_is_an_alarm(hook: ScriptedReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert triggered("github", "--break", "body", "--to", hook.url) == 1
    assert "IT SHOULD HAVE BEEN REJECTED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("provider", "message"), [("aws_sns", "the provider's public key cannot be fetched"), ("github", "")]
)
def test_what_is_broken_and_not_decided_is_no_alarm(
    provider: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(unavailable()) as hook:
        assert triggered(provider, "--break", "signature", "--to", hook.url) == 1
    assert len(hook.heads) == 1
    output = capsys.readouterr().out
    assert "neither accepted nor rejected" in output
    assert message in output
    assert "SHOULD" not in output


def test_a_handshake_is_reported_by_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with receiver(http_answer(200, b"the challenge")) as hook:
        assert triggered("dropbox", "challenge", "--to", hook.url) == 0
        assert hook.heads[0].startswith("GET /hook?challenge=hookchain-")
    assert "answered (200): the challenge" in capsys.readouterr().out


def test_without_a_key_of_our_own_a_public_key_cannot_be_signed_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert triggered("discord") == 1
    output = capsys.readouterr().err
    assert "only the provider has the private key" in output
    assert "--make-key" in output


def test_a_key_pair_of_our_own_signs_in_the_providers_place(
    hook: ScriptedReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text('CHAT_KEY="the provider\'s own public key"\n')
    assert triggered("discord", "--make-key") == 0
    assert triggered("discord", "--to", hook.url) == 0
    assert hook.header("x-signature-ed25519")
    assert (tmp_path / "state/keys/chat-key.pem").stat().st_mode & 0o777 == 0o600
    assert "the provider's own public key" in (tmp_path / ".env").read_text()
    assert "PRIVATE" not in capsys.readouterr().out + (tmp_path / ".env").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("githbu",), "did you mean 'github'?"),
        (("github", "pusch"), "`hookchain trigger github --list` lists them"),
        (("stripe", "--to", "http://127.0.0.1:9/x"), "there is no secret 'stripe-secret'"),
        (("github", "--variant", "legacy_sha1"), "the source has no variant 'legacy_sha1'; it has sha256"),
    ],
)
def test_a_usage_error_says_so(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert triggered(*arguments) == 2
    assert message in capsys.readouterr().err


def test_if_nothing_listens_the_message_names_the_command_to_start(
    free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT_BASE", str(free_port))
    assert triggered("github") == 1
    assert capsys.readouterr().out.endswith("; start `make dev`\n")
    assert triggered("github", "--to", f"http://127.0.0.1:{free_port}") == 1
    assert "make dev" not in capsys.readouterr().out
