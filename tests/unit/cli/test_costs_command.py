"""`hookchain costs`: what it prints, and that the README states what it prints."""

import re
from pathlib import Path

from tests.fakes.command import Command

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = str(ROOT / "deploy" / "hookchain.example.yaml")


def test_the_readme_has_the_costs_of_a_million_events_with_the_example_configuration(command: Command) -> None:
    totals = []
    for platform in ("gcp", "aws"):
        document = command.json("costs", "--platform", platform, "--config", EXAMPLE, "--env-file", "/dev/null")
        totals.append(f"{document['total']:.2f} {document['currency']}")
    [row] = re.findall(r"^\| a million events a month.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row.endswith(f"| {totals[0]} | {totals[1]} |")


def test_endpoints_need_subscribers(command: Command) -> None:
    command("costs", "--config", EXAMPLE, "--env-file", "/dev/null", "--endpoints", "3", code=2)
    assert "--endpoints: has no effect, because the configuration has no `subscribers`" in command.error
