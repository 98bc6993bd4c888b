"""What the tests of commands on AWS begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cloud.aws.client import AwsPlace
from tests.aws.operator import Stack, new_stack
from tests.aws.stand_in import standing_in
from tests.fakes.command import Command

CONFIG = """
sources:
  shop: {auth: {scheme: basic, username: web, secret: shop-password}}
  pay: {auth: {scheme: hmac, header: X-Signature, secret: pay-key}}
routes: [{name: orders, from: shop, types: [order.*], to: people}]
destinations: {people: {email: {to: [ann@example.com], from: hooks@example.com}}}
"""


@pytest.fixture
def stack(aws: AwsPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack with nothing in it, the shell's variables that lead to it, and a configuration."""
    with standing_in() as stand_in:
        found = new_stack(aws, stand_in)
        for name, value in found.environ.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
        monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
        monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))
        yield found


@pytest.fixture
def command(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Command:
    """`hookchain …` for this stack."""
    return Command(capsys, after=stack.where.split())
