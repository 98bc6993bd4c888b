"""deploy/gcp/README.md tells the truth: its commands are ones, its table is what was measured, its prices add up."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli import costs as costs_command
from deploy.gcp.costs import COSTS, rows
from deploy.gcp.resource import Command, Resource
from deploy.topology.estimate import MONTH_SECONDS, PricesFault, Traffic, read_prices
from shared.retention import Retention
from tests.bench.usage import default_plan, in_readme
from tests.gcloud.flags import command_lines, faults, known_commands


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "deploy" / "gcp" / "README.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_from_a_checkout_to_a_url_takes_at_most_three_commands(page: str) -> None:
    assert len(blocks(page)[0].splitlines()) <= 3
    assert blocks(page)[0].startswith("make deploy-gcp PROJECT=my-project EMAIL_ADDRESS=")


def test_the_pages_gcloud_commands_are_ones(page: str, inputs_folder: Path) -> None:
    found = [line for block in blocks(page) for line in command_lines(block)]
    assert found
    assert not [fault for line in found for fault in faults(line, known_commands(inputs_folder))]


def test_the_table_is_what_was_measured(page: str) -> None:
    assert in_readme(page, COSTS.read_usage()) == page


def test_an_event_uses_three_requests_and_some_writes() -> None:
    """One request a function, and no more writes than the ledger's and the journal's few."""
    used = COSTS.read_usage()
    assert used["requests"] == pytest.approx(3, abs=0.1)
    assert used["documents_written"] == 3


def test_every_price_has_googles_list_price_with_its_region_and_date() -> None:
    used = amounts(default_plan(), Traffic())
    prices = read_prices(COSTS.prices, used)
    assert prices.currency == "USD"
    assert re.search(r"us-central1 as of 20\d\d, without the free tier", prices.origin)
    assert set(prices.by_name) == set(used)
    assert all(price > 0 for price in prices.by_name.values())


def test_costs_are_use_times_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: CHF\nmillion_requests: 0.5\nmillion_document_writes: 2\nscheduler_job_month: 0.1\n")
    arguments = ["--events", "2e6", "--prices", str(prices), "--config", "none", "--env-file", os.devnull]
    assert costs_command.main(arguments) == 0
    output = capsys.readouterr().out
    usage = COSTS.read_usage()
    requests, writes = (2 * usage["requests"] + 0.0432) * 0.5, 2 * usage["documents_written"] * 2
    assert f"Total: {requests + writes + 0.1:,.2f} CHF a month, without the rows that have no price" in output
    assert "bus_tib" in output.split("No price")[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("million_request: 1", "is not a price"), ("bus_tib: much", "be a number"), ("[]", "lines of"), ("a: [", "read")],
)
def test_a_price_file_that_is_none_is_reported(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(PricesFault, match=reason):
        read_prices(path, ["bus_tib"])


def test_make_hands_on_what_it_is_given(root: Path) -> None:
    assert "hookchain plan-gcp --project 'p-1234'  --prefix 'shop-' --live" in made(
        root, "plan-gcp", "PROJECT=p-1234", "PREFIX=shop-", "LIVE=1"
    )
    assert "--all" in made(root, "destroy-gcp", "ALL=1")
    assert "--all" not in made(root, "destroy-gcp")


def made(root: Path, *targets: str) -> str:
    """What make would run."""
    return subprocess.run(["make", "-n", *targets], cwd=root, capture_output=True, text=True, check=True).stdout


# What a month costs


def amounts(plan: Sequence[Resource], traffic: Traffic, kept: Retention | None = None) -> dict[str, float]:
    return {row.price: row.amount for row in rows(plan, COSTS.read_usage(), traffic, kept or Retention())}


def with_flag(plan: Sequence[Resource], key: str, flag: str) -> list[Resource]:
    """The plan with the flag added to what creates the resource."""
    return [
        replace(each, create=(Command((*each.create[0].arguments, flag)), *each.create[1:]))
        if each.key == key
        else each
        for each in plan
    ]


def test_amounts_follow_the_plan_and_no_second_list() -> None:
    plan, traffic = default_plan(), Traffic(1_000_000)
    before = amounts(plan, traffic)
    services = [each.key for each in plan if each.kind == "service"]
    larger = plan
    for key in services:
        larger = tuple(with_flag(larger, key, "--memory=1Gi"))
    assert amounts(larger, traffic)["memory_gib_second"] == pytest.approx(2 * before["memory_gib_second"])
    warm = amounts(with_flag(plan, services[0], "--min-instances=2"), Traffic(0))
    assert warm["idle_cpu_second"] == pytest.approx(2 * MONTH_SECONDS, rel=0.01)
    assert before["secret_version_month"] == sum(each.kind == "secret" for each in plan)
