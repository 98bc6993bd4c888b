"""Secrets and hooks of a stack: Secrets Manager has the secret, and DynamoDB what is remembered."""

from pathlib import Path

import pytest

from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.cloud_access.aws import AwsApi, AwsFault
from deploy.secrets.backend import BackendError
from shared.cloud import platform
from shared.jsontext import Json, JsonObject, objects_at
from tests.aws.operator import Stack
from tests.fakes.command import Command
from tests.stand_ins.hook_providers import TOKEN, Stripe

STRONG = "a-long-and-random-value-1"
OTHER = "a-long-and-random-value-2"


def stored(stack: Stack, name: str) -> str:
    found = stack.call("secretsmanager", "get_secret_value", SecretId=f"{stack.prefix}{name}")
    return str(found["SecretString"])


def test_a_value_is_set_rotated_and_the_old_one_dropped(stack: Stack, command: Command) -> None:
    created = command("secrets", "set", "shop-password", stdin=f"{STRONG}\n")
    assert f"created: secret {stack.prefix}shop-password" in created
    assert stored(stack, "shop-password") == STRONG
    rotated = command("secrets", "rotate", "shop-password", stdin=f"{OTHER}\n")
    assert f"hookchain secrets rotate shop-password --drop-old {stack.where}\n" in rotated
    assert STRONG not in command.shown
    assert stored(stack, "shop-password") == f"{OTHER}\n{STRONG}"
    dropped = command("secrets", "rotate", "shop-password", "--drop-old")
    assert "only the newest value is accepted from now on" in dropped
    assert stored(stack, "shop-password") == OTHER
    versions = stack.call("secretsmanager", "describe_secret", SecretId=f"{stack.prefix}shop-password")
    assert "AWSPREVIOUS" not in str(versions["VersionIdsToStages"])


def test_a_list_shows_states_and_what_to_do_and_no_value(stack: Stack, command: Command) -> None:
    listed = objects_at(command.json("secrets", "list", code=1), "secrets")
    states = {each["name"]: each["state"] for each in listed}
    assert states == {"pay-key": "missing", "sendgrid-api-key": "missing", "shop-password": "missing"}
    for name in ("shop-password", "pay-key"):
        output = command("secrets", "set", name, "--random")
    assert f"aws secretsmanager get-secret-value --secret-id={stack.prefix}pay-key" in output
    command("secrets", "list")  # SES sends mail, so SendGrid's key is not needed
    advice = f"SES sends the mail; or: hookchain secrets set sendgrid-api-key {stack.where}"
    assert f"sendgrid-api-key: optional, {advice}" in command.error


def test_a_secret_of_another_stack_is_not_changed(stack: Stack, command: Command) -> None:
    tags = [{"Key": "hookchain", "Value": "other"}]
    name = f"{stack.prefix}shop-password"
    stack.call("secretsmanager", "create_secret", Name=name, SecretString=STRONG, Tags=tags)
    command("secrets", "set", "shop-password", "--random", code=1)
    assert "nothing was changed" in command.error
    assert stored(stack, "shop-password") == STRONG


def test_a_secret_that_cannot_be_read_is_not_taken_for_missing(stack: Stack) -> None:
    name = f"{stack.prefix}shop-password"
    stack.call("secretsmanager", "create_secret", Name=name, SecretBinary=b"\xff")
    backend = SecretsManagerBackend(stack.target, stack.api())
    assert backend.find(["shop-password"])["shop-password"].trouble == "is binary; a secret's value is text"
    stack.call("secretsmanager", "delete_secret", SecretId=name)
    trouble = backend.find(["shop-password"])["shop-password"].trouble
    assert f"restore-secret --secret-id {name}" in trouble
    with pytest.raises(BackendError, match="restore-secret"):
        backend.write("shop-password", STRONG, forget=False)


def test_a_value_that_is_stored_is_named_if_the_previous_version_is_not_released(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = stack.api()
    backend = SecretsManagerBackend(stack.target, api)
    backend.write("shop-password", STRONG, forget=False)
    call = AwsApi.call

    def failing(self: AwsApi, service: str, operation: str, **arguments: Json) -> JsonObject:
        if operation == "update_secret_version_stage":
            raise AwsFault("AccessDenied", "not allowed")
        return call(self, service, operation, **arguments)

    monkeypatch.setattr(AwsApi, "call", failing)
    with pytest.raises(BackendError, match="but the previous version was not released"):
        backend.write("shop-password", OTHER, forget=True)
    assert stored(stack, "shop-password") == OTHER


CONFIG = """
sources: {stripe: {provider: stripe, secret: stripe-secret, hook: {token: stripe-token}}}
routes: [{name: money, types: [invoice.paid], to: people}]
destinations: {people: {email: {to: [ann@example.com], from: hooks@example.com}}}
"""


def stored_secret(stack: Stack) -> list[str]:
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
    assert stored_secret(stack) == [hook["secret"]]
    assert stack.run("hooks", "plan") == 0
    assert stack.run("secrets", "rotate", "stripe-secret") == 0, capsys.readouterr().err
    [(second, renewed)] = stripe.hooks.items()
    assert second != first
    assert stored_secret(stack) == [renewed["secret"], hook["secret"]]
    assert stack.run("hooks", "remove", "--yes") == 0
    assert not stripe.hooks
    assert stack.run("hooks", "plan") == 3
    assert str(hook["secret"]) not in "".join(capsys.readouterr())
