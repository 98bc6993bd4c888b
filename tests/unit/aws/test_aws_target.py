"""Where a deployment is on AWS; and that the page about AWS is true."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.aws.deployment import OPERATORS_OWN
from deploy.cloud_access.aws_names import StackTarget, checked_target, find_target
from deploy.doctor.aws import receive_finding
from deploy.doctor.senders import is_verified, ses_finding
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Finding
from shared.jsontext import JsonObject, mapping_at
from tests.aws.operator import Stack
from tests.fakes.command import Command
from tests.unit.aws.rendered import template

NOTHING = argparse.Namespace(stack=None, region=None, prefix=None)


def test_an_option_counts_before_the_environment_and_that_before_the_profile() -> None:
    environ = {"HOOKCHAIN_STACK": "shop", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}
    named = argparse.Namespace(stack="sales", region="eu-west-1", prefix=None)
    assert find_target(named, environ, lambda: "eu-west-3") == StackTarget("sales", "eu-west-1", "sales-")
    assert find_target(NOTHING, environ, lambda: "eu-west-3") == StackTarget("shop", "us-east-1", "shop-")
    assert find_target(NOTHING, {"AWS_DEFAULT_REGION": "us-east-2"}, lambda: None).region == "us-east-2"
    other = argparse.Namespace(stack="sales", region="eu-west-1", prefix="eu-sales")
    assert find_target(other, environ, lambda: None).prefix == "eu-sales-"
    assert find_target(NOTHING, {}, lambda: "eu-west-3") == StackTarget("hookchain", "eu-west-3", "hookchain-")


def test_without_a_region_the_message_names_the_option() -> None:
    with pytest.raises(CommandError, match="--region REGION"):
        find_target(NOTHING, {}, lambda: None)


@pytest.mark.parametrize(
    ("stack", "region", "field"),
    [
        ("Shop", "eu-west-1", "stack"),
        ("dash-", "eu-west-1", "stack"),
        ("a" * 29, "eu-west-1", "stack"),
        ("shop;rm", "eu-west-1", "stack"),
        ("shop", "Europe", "region"),
        ("shop", "eu-west-1.evil.example", "region"),
    ],
)
def test_a_name_that_no_stack_or_region_has_is_rejected_before_a_call(stack: str, region: str, field: str) -> None:
    with pytest.raises(CommandError, match=f"^{field}: must be"):
        checked_target(stack, region)


def test_without_credentials_the_message_says_how_to_sign_in(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    command("secrets", "list", code=1)
    assert "Run `aws configure sso`" in command.error
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    command("logs", code=1)
    assert "nobody" in command.error


def test_without_boto3_the_message_says_how_to_install_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    for words in (["secrets", "list"], ["logs"], ["sources"]):
        command(*words, code=1)
        assert re.search(r"'boto3' is not installed\..* pip install .*\[aws-tools\]'", command.error)
    assert "✗ boto3          not installed" in command("doctor", code=1)


# The page


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "deploy" / "aws" / "README.md").read_text(encoding="utf-8")


def test_the_pages_parameters_are_those_that_a_deployment_leaves_alone(page: str) -> None:
    found = set(re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE))
    assert found == OPERATORS_OWN
    assert found <= mapping_at(template(), "Parameters").keys()


def examined(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Mapping[str, tuple[str, str, str]]:
    stack.run("doctor", "--json")
    checks = json.loads(capsys.readouterr().out)["checks"]
    return {each["check"]: (each["verdict"], each["found"], each["todo"]) for each in checks}


def test_before_the_first_deployment_the_inputs_are_checked(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    checks = examined(stack, capsys)
    assert checks["credentials"][0] == "ok"
    assert checks["region"][:2] == ("ok", stack.place.region)
    for name in ("stack", "receive", "queues", "tables"):
        assert checks[name][0] == "ok"
        assert "not deployed yet: make deploy-aws" in checks[name][1]
    assert checks["sender"][0] == "problem"
    assert "SES has not verified hooks@example.com" in checks["sender"][1]
    assert "create-email-identity --email-identity hooks@example.com" in checks["sender"][2]


def test_a_whole_stack_has_no_problem(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.add_queues()
    stack.add_tables()
    stack.stand_in.identities.add("example.com")
    for name in ("pay-key", "shop-password"):
        assert stack.run("secrets", "set", name, "--random") == 0
    capsys.readouterr()
    stack.describe(url=stack.stand_in.url)  # which answers 404 to any path
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", stack.stand_in.url)
    checks = examined(stack, capsys)
    assert {name: found for name, found in checks.items() if found[0] != "ok" and name != "clock"} == {}
    assert "20 for transform and 29 for notify" in checks["concurrency"][1]
    assert checks["queues"][1] == "6 queues"
    assert checks["secrets"][1] == "2 found; not set, and not needed: sendgrid-api-key"
    assert checks["receive"][1] == stack.stand_in.url


def test_parts_that_are_missing_are_named(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.describe(status="UPDATE_COMPLETE", url=None)
    stack.add_tables(without="dead-letters")
    checks = examined(stack, capsys)
    assert checks["queues"][0] == "problem"
    assert f"{stack.prefix}events-undelivered" in checks["queues"][1]
    assert checks["tables"] == ("problem", f"there is no table {stack.prefix}dead-letters", "make deploy-aws")
    assert checks["receive"] == ("problem", "the stack has no output ReceiveUrl", "make deploy-aws")


@pytest.mark.parametrize(
    ("status", "verdict", "todo"),
    [("ROLLBACK_COMPLETE", "problem", "make destroy-aws"), ("UPDATE_IN_PROGRESS", "unknown", "try again")],
)
def test_the_state_of_the_stack_says_what_to_do(
    stack: Stack, capsys: pytest.CaptureFixture[str], status: str, verdict: str, todo: str
) -> None:
    stack.describe(status=status)
    found = examined(stack, capsys)["stack"]
    assert found[0] == verdict
    assert todo in found[2]


def test_without_credentials_or_permission_a_check_is_unknown_and_no_problem(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.stand_in.denied = True
    found = examined(stack, capsys)["stack"]
    assert found[0] == "unknown"
    assert "not authorized" in found[1]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    checks = examined(stack, capsys)
    assert checks["credentials"][0] == "problem"
    assert "aws configure" in checks["credentials"][2]
    assert checks["stack"][:2] == ("unknown", "needs AWS credentials")


@pytest.mark.parametrize(
    ("status", "verdict"), [(None, "unknown"), (200, "ok"), (404, "ok"), (403, "problem"), (502, "problem")]
)
def test_what_receives_url_answers_tells_its_state(status: int | None, verdict: str) -> None:
    assert receive_finding("https://x.example/", status).verdict == verdict


# Mail by SES


SENDER, RECIPIENT = "hooks@example.com", "ann@example.org"


def sent(account: JsonObject, *verified: str) -> Finding:
    known = {each: each in verified for each in (SENDER, RECIPIENT)}
    return ses_finding("eu-west-1", account, [SENDER], [RECIPIENT], known)


def test_a_sandbox_is_a_problem_only_for_recipients_that_are_not_verified() -> None:
    sandbox: JsonObject = {"ProductionAccessEnabled": False}
    assert sent({"ProductionAccessEnabled": True}, SENDER).verdict == "ok"
    assert sent(sandbox, SENDER, RECIPIENT).verdict == "ok"
    closed = sent(sandbox, SENDER)
    assert (closed.verdict, RECIPIENT in closed.found) == ("problem", True)
    assert "production access" in closed.todo
    assert sent({"SendingEnabled": False}, SENDER, RECIPIENT).verdict == "problem"
    assert sent({"ProductionAccessEnabled": True}).verdict == "problem"


def test_an_address_is_verified_with_its_domain_or_a_parent_of_it(stack: Stack) -> None:
    stack.stand_in.identities.update({"example.com", "bob@example.org"})
    api = stack.api()
    assert is_verified(api, "a@example.com")
    assert is_verified(api, "a@mail.example.com")
    assert is_verified(api, "bob@example.org")
    assert not is_verified(api, "ann@example.org")
    assert not is_verified(api, "a@badexample.com")
