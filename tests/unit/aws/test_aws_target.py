"""Where a deployment is on AWS; and that the page about AWS is true."""

import argparse
import re
import sys
from pathlib import Path

import pytest

from deploy.aws.deployment import OPERATORS_OWN
from deploy.cloud_access.aws_names import StackTarget, checked_target, find_target
from deploy.terminal.command_line import CommandError
from shared.jsontext import mapping_at
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
