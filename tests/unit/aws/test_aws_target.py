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
from tests.aws.operator import Stack
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


def test_without_credentials_the_message_says_how_to_sign_in(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert stack.run("secrets", "list") == 1
    assert "Run `aws configure sso`" in capsys.readouterr().err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert stack.run("logs") == 1
    assert "nobody" in capsys.readouterr().err


def test_without_boto3_the_message_says_how_to_install_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    for command in (["secrets", "list"], ["logs"], ["sources"]):
        assert stack.run(*command) == 1
        assert re.search(r"'boto3' is not installed\..* pip install .*\[aws-tools\]'", capsys.readouterr().err)
    assert stack.run("doctor") == 1
    assert "✗ boto3          not installed" in capsys.readouterr().out


# The page


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "deploy" / "aws" / "README.md").read_text(encoding="utf-8")


def test_the_pages_parameters_are_those_that_a_deployment_leaves_alone(page: str) -> None:
    found = set(re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE))
    assert found == OPERATORS_OWN
    assert found <= mapping_at(template(), "Parameters").keys()
