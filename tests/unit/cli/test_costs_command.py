"""`hookchain costs`: what it prints, and that the README states what it prints."""

import json
import re
from pathlib import Path

import pytest

from deploy.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = str(ROOT / "deploy" / "hookchain.example.yaml")


def test_the_readme_has_the_costs_of_a_million_events_with_the_example_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    totals = []
    for platform in ("gcp", "aws"):
        assert main(["costs", "--platform", platform, "--config", EXAMPLE, "--env-file", "/dev/null", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        totals.append(f"{document['total']:.2f} {document['currency']}")
    [row] = re.findall(r"^\| a million events a month.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row.endswith(f"| {totals[0]} | {totals[1]} |")


def test_endpoints_need_subscribers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "--config", EXAMPLE, "--env-file", "/dev/null", "--endpoints", "3"]) == 2
    assert "--endpoints: has no effect, because the configuration has no `subscribers`" in capsys.readouterr().err
