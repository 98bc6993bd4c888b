"""`hookchain hooks --platform aws`: Secrets Manager has the secret, and DynamoDB what is remembered."""

from pathlib import Path

import pytest

from shared.cloud import platform
from tests.aws.operator import Stack
from tests.stand_ins.hook_providers import TOKEN, Stripe

CONFIG = """
sources: {stripe: {provider: stripe, secret: stripe-secret, hook: {token: stripe-token}}}
routes: [{name: money, types: [invoice.paid], to: people}]
destinations: {people: {email: {to: [ann@example.com], from: hooks@example.com}}}
"""


def stored(stack: Stack) -> list[str]:
    found = stack.call("secretsmanager", "get_secret_value", SecretId=f"{stack.prefix}stripe-secret")
    return str(found["SecretString"]).split("\n")


def test_a_hook_is_registered_rotated_and_removed(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stripe = Stripe()
    monkeypatch.setattr(platform, "fetch", lambda *, keeps=True: stripe)
    monkeypatch.setattr("deploy.platforms.platform.INSTANCE_SECONDS", 0.0)
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    stack.describe(url="https://abc.lambda-url.eu-central-1.on.aws/")
    stack.add_tables()
    stack.call("secretsmanager", "create_secret", Name=f"{stack.prefix}stripe-token", SecretString=TOKEN)
    assert stack.run("hooks", "plan") == 3, capsys.readouterr().err
    assert stack.run("hooks", "apply", "--yes") == 0, capsys.readouterr().err
    [(first, hook)] = stripe.hooks.items()
    assert hook["url"] == "https://abc.lambda-url.eu-central-1.on.aws/stripe"
    assert stored(stack) == [hook["secret"]]
    assert stack.run("hooks", "plan") == 0
    assert stack.run("secrets", "rotate", "stripe-secret") == 0, capsys.readouterr().err
    [(second, renewed)] = stripe.hooks.items()
    assert second != first
    assert stored(stack) == [renewed["secret"], hook["secret"]]
    assert stack.run("hooks", "remove", "--yes") == 0
    assert not stripe.hooks
    assert stack.run("hooks", "plan") == 3
    assert str(hook["secret"]) not in "".join(capsys.readouterr())
