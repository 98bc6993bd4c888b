"""`hookchain destroy-aws`: what an earlier stack left, which goes only if it is asked for."""

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from deploy.aws import sam
from deploy.cli import aws_deployment
from deploy.hooks.comparison import Remembered
from deploy.platforms.choice import open_platform
from functions.notify.hook_expiry import PARTITION
from tests.aws.operator import Stack


@pytest.fixture
def left(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that was deleted. What it left: tables, a bucket with a body, and a secret."""
    (tmp_path / "sam").touch()
    monkeypatch.setattr(sam, "TOOLS", tmp_path)
    stack.add_tables()
    account = stack.call("sts", "get_caller_identity")["Account"]
    bucket = f"{stack.prefix}blobs-{account}-{stack.place.region}"
    place = {"LocationConstraint": stack.place.region}
    stack.call("s3", "create_bucket", Bucket=bucket, CreateBucketConfiguration=place)
    stack.call("s3", "put_object", Bucket=bucket, Key="one", Body=b"large")
    for name, owner in (("key", stack.prefix), ("other-key", f"{stack.prefix}other-")):
        tags = [{"Key": "hookchain", "Value": owner}]
        stack.call("secretsmanager", "create_secret", Name=f"{stack.prefix}{name}", SecretString="x", Tags=tags)
    return stack


def destroyed(stack: Stack, *arguments: str) -> int:
    return aws_deployment.destroy_aws(["--stack", stack.name, "--region", stack.place.region, *arguments])


@pytest.mark.slow
def test_all_removes_everything_but_another_deployments_secrets(
    left: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert destroyed(left, "--all", "--confirm", left.prefix) == 0
    capsys.readouterr()
    assert destroyed(left) == 0
    assert "Kept" not in capsys.readouterr().out
    assert left.call("secretsmanager", "describe_secret", SecretId=f"{left.prefix}other-key")["Name"]


def test_another_word_than_the_prefix_removes_nothing(left: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_remember_hook(left))
    assert destroyed(left, "--all", "--confirm", left.name) == 1
    output = capsys.readouterr()
    assert f"secret {left.prefix}key, which cannot be restored" in output.out
    assert "These webhooks stay registered at their providers: github acme/shop. To remove them first:" in output.out
    assert f"hookchain hooks remove --platform aws --stack {left.name} " in output.out
    assert "nothing was removed" in output.err
    assert destroyed(left) == 0
    assert f"secret {left.prefix}key" in capsys.readouterr().out


async def _remember_hook(stack: Stack) -> None:
    options = argparse.Namespace(platform="aws", project=None, **asdict(stack.target))
    async with open_platform(options, stack.environ).subscriber_stores() as stores:
        await stores.documents.write(PARTITION, "github", json.dumps({"hooks": {"acme/shop": asdict(Remembered("1"))}}))


def test_credentials_that_are_missing_are_reported(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sam").touch()
    monkeypatch.setattr(sam, "TOOLS", tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert destroyed(stack) == 1
    assert "no AWS credentials can be used" in capsys.readouterr().err
