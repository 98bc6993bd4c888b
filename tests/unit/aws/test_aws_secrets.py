"""`hookchain secrets --platform aws`: Secrets Manager."""

import io
import json
import sys

import pytest

from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.secrets.backend import BackendError
from tests.aws.operator import Stack

STRONG = "a-long-and-random-value-1"
OTHER = "a-long-and-random-value-2"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def stored(stack: Stack, name: str) -> str:
    found = stack.call("secretsmanager", "get_secret_value", SecretId=f"{stack.prefix}{name}")
    return str(found["SecretString"])


def test_a_value_is_set_rotated_and_the_old_one_dropped(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, f"{STRONG}\n")
    assert stack.run("secrets", "set", "shop-password") == 0
    assert f"created: secret {stack.prefix}shop-password" in capsys.readouterr().out
    assert stored(stack, "shop-password") == STRONG
    typed(monkeypatch, f"{OTHER}\n")
    assert stack.run("secrets", "rotate", "shop-password") == 0
    output = capsys.readouterr()
    assert f"hookchain secrets rotate shop-password --drop-old {stack.where}\n" in output.out
    assert STRONG not in output.out + output.err
    assert stored(stack, "shop-password") == f"{OTHER}\n{STRONG}"
    assert stack.run("secrets", "rotate", "shop-password", "--drop-old") == 0
    assert "only the newest value is accepted from now on" in capsys.readouterr().out
    assert stored(stack, "shop-password") == OTHER
    versions = stack.call("secretsmanager", "describe_secret", SecretId=f"{stack.prefix}shop-password")
    assert "AWSPREVIOUS" not in str(versions["VersionIdsToStages"])


def test_a_list_shows_states_and_what_to_do_and_no_value(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.run("secrets", "list", "--json") == 1
    states = {each["name"]: each["state"] for each in json.loads(capsys.readouterr().out)["secrets"]}
    assert states == {"pay-key": "missing", "sendgrid-api-key": "missing", "shop-password": "missing"}
    for name in ("pay-key", "shop-password"):
        assert stack.run("secrets", "set", name, "--random") == 0
    output = capsys.readouterr().out
    assert f"aws secretsmanager get-secret-value --secret-id={stack.prefix}pay-key" in output
    assert stack.run("secrets", "list") == 0, "SES sends mail, so SendGrid's key is not needed"
    output = capsys.readouterr().err
    assert (
        f"sendgrid-api-key: optional, SES sends the mail; or: hookchain secrets set sendgrid-api-key {stack.where}"
        in output
    )


def test_a_secret_of_another_stack_is_not_changed(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    tags = [{"Key": "hookchain", "Value": "other"}]
    name = f"{stack.prefix}shop-password"
    stack.call("secretsmanager", "create_secret", Name=name, SecretString=STRONG, Tags=tags)
    assert stack.run("secrets", "set", "shop-password", "--random") == 1
    assert "nothing was changed" in capsys.readouterr().err
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
