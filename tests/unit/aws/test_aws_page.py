"""deploy/aws/README.md tells the truth: its commands are ones, and its parameters are the template's."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.aws.deployment import OPERATORS_OWN
from deploy.cli.main import COMMANDS
from tests.unit.aws.rendered import inside, template


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "deploy" / "aws" / "README.md").read_text(encoding="utf-8")


def shell_lines(page: str) -> Iterator[list[str]]:
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield from filter(None, (shlex.split(line, comments=True) for line in block.splitlines()))


def test_the_pages_commands_are_ones(page: str, root: Path) -> None:
    for arguments in shell_lines(page):
        if arguments[0] == "make":
            done = subprocess.run(["make", "-n", *arguments[1:]], cwd=root, capture_output=True)
            assert done.returncode == 0, arguments
        elif arguments[0] != "aws":
            assert arguments[0] == ".venv/bin/hookchain"
            assert arguments[1] in COMMANDS


def test_the_pages_parameters_are_those_that_a_deployment_leaves_alone(page: str) -> None:
    found = set(re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE))
    assert found == OPERATORS_OWN
    parameters = inside(template(), "Parameters")
    assert isinstance(parameters, dict)
    assert found <= parameters.keys()
