"""Where a deployment is on Google Cloud, how the commands reach what it made; and that the page about it is true."""

import argparse
import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from deploy.cli import costs as costs_command
from deploy.cli.main import main
from deploy.cloud_access import gcp, gcp_names
from deploy.cloud_access.gcp import (
    RETRY_WAITS_SECONDS,
    TIMED_OUT,
    ApiError,
    Gcloud,
    GcloudMissing,
    GoogleApi,
    configured_project,
    read_json,
    shown,
)
from deploy.cloud_access.gcp_names import Target, TargetFault, checked_target, find_target
from deploy.gcp.costs import COSTS, rows
from deploy.gcp.resource import Command, Resource
from deploy.history.gcp import EMULATED, deployment_ports, operator_authorization
from deploy.history.state import StateFault
from deploy.topology.estimate import MONTH_SECONDS, PricesFault, Traffic, read_prices
from shared.jsontext import JsonObject
from shared.retention import Retention
from tests.bench.usage import default_plan, in_readme
from tests.gcloud.flags import command_lines, faults, known_commands
from tests.gcloud.stub import StubGcloud, install

NOBODY = argparse.Namespace(project=None, region=None, prefix=None)


def test_an_option_counts_before_the_environment_and_that_before_gclouds_own() -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "from-environ", "HOOKCHAIN_REGION": "us-central1", "HOOKCHAIN_PREFIX": "shop-"}
    text = argparse.Namespace(project="from-option", region="europe-west4", prefix="sales")
    assert find_target(text, environ, lambda: "from-gcloud") == Target("from-option", "europe-west4", "sales-")
    assert find_target(NOBODY, environ, lambda: "from-gcloud") == Target("from-environ", "us-central1", "shop-")
    assert find_target(NOBODY, {}, lambda: "from-gcloud") == Target("from-gcloud", "europe-west1", "hookchain-")


def test_without_a_project_it_says_how_to_name_one() -> None:
    with pytest.raises(TargetFault, match="PROJECT=ID"):
        find_target(NOBODY, {}, lambda: None)


@pytest.mark.parametrize(
    ("project", "region", "prefix", "word"),
    [
        ("My-Project", "europe-west1", "hookchain-", "project"),
        ("my-project", "Europe", "hookchain-", "region"),
        ("my-project", "europe-west1", "a" * 21 + "-", "prefix"),
        ("my-project", "europe-west1", "goog-shop-", "prefix"),
        ("my-project", "europe-west1", "my-google-", "prefix"),
        ("my-project", "europe-west1", "two--dashes-", "prefix"),
        ("my-project", "europe-west1", "shop-;rm -rf-", "prefix"),
    ],
)
def test_an_impossible_name_is_rejected_before_any_question(project: str, region: str, prefix: str, word: str) -> None:
    with pytest.raises(TargetFault, match=word):
        checked_target(project, region, prefix)


@given(st.from_regex(r"[a-z](-?[a-z0-9]){3,19}-", fullmatch=True), st.sampled_from(["a12345", "p" * 30]))
def test_every_name_of_a_taken_prefix_is_one_that_google_takes(prefix: str, project: str) -> None:
    try:
        target = checked_target(project, "europe-west1", prefix)
    except TargetFault:
        return
    assert all(6 <= len(target.name_of(name)) <= 30 for name in ("receive", "transform", "push"))
    assert 4 <= len(gcp_names.database(target)) <= 63
    assert 3 <= len(gcp_names.bucket(target)) <= 63
    assert len(f"{target.name_of('transform')}-123456789012") <= 63


def test_gcloud_never_asks_and_always_says_the_project(tmp_path: Path) -> None:
    stub = install(tmp_path / "bin")
    stub.answers("run services list", [{"a": 1}])
    gcloud = Gcloud("my-project", stub.environ)
    assert read_json(gcloud, ["run", "services", "list"], "my-project") == [{"a": 1}]
    assert stub.calls[0].arguments[-2:] == ("--project=my-project", "--quiet")


def test_a_gcloud_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    program = tmp_path / "gcloud"
    program.write_text("#!/bin/sh\nexec sleep 20\n")
    program.chmod(0o755)
    gcloud = Gcloud("my-project", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert gcloud.run(["version"], timeout_seconds=0.2).code == TIMED_OUT


def test_without_gcloud_it_says_where_to_get_it(tmp_path: Path) -> None:
    nowhere = Gcloud("my-project", {"PATH": str(tmp_path)})
    with pytest.raises(GcloudMissing, match="cloud"):
        nowhere.run(["version"])
    assert configured_project(nowhere) is None


@pytest.mark.parametrize(("output", "project"), [("my-project\n", "my-project"), ("(unset)\n", None), ("", None)])
def test_gclouds_own_project_is_found(output: str, project: str | None, tmp_path: Path) -> None:
    stub = install(tmp_path / "bin")
    stub.answers("config get-value project", output)
    assert configured_project(Gcloud(None, stub.environ)) == project


def test_a_line_can_be_pasted() -> None:
    assert shown(["a", "--schedule=* * *"], "my-project") == "gcloud a '--schedule=* * *' --project=my-project"


# The place of a deployment

TARGET = Target("a-project")


def test_the_token_is_of_whoever_is_signed_in_to_gcloud_and_asked_for_once(gcloud: StubGcloud) -> None:
    gcloud.answers("auth print-access-token", "a-token\n")
    authorization = operator_authorization({})

    async def ask() -> list[str | None]:
        return [await authorization(), await authorization()]

    assert asyncio.run(ask()) == ["Bearer a-token"] * 2
    assert len(gcloud.calls) == 1


@pytest.mark.parametrize("command", [["events", "list"], ["inspect"]])
def test_every_command_says_so_too(gcloud: StubGcloud, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    gcloud.answers("auth print-access-token", code=1)
    assert main([*command, "--platform", "gcp", "--project", "a-project"]) == 1
    assert capsys.readouterr().err.strip().endswith("nobody is signed in to gcloud. Run: gcloud auth login")


def test_a_project_that_is_none_is_reported_before_anything_is_asked(
    gcloud: StubGcloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["events", "list"], ["inspect"]):
        assert main([*command, "--platform", "gcp", "--project", "No Project"]) == 1
        assert "project: must be 6 to 30" in capsys.readouterr().err
    assert gcloud.calls == []


@pytest.mark.parametrize("missing", EMULATED)
def test_a_cloud_that_is_emulated_in_part_is_rejected(missing: str) -> None:
    environ = {name: "127.0.0.1:1" for name in EMULATED if name != missing}
    with pytest.raises(StateFault, match=f"{missing}. Set all of them or none"):
        deployment_ports(TARGET, environ)


def test_a_port_in_use_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as result:
        port = result.getsockname()[1]
        assert main(["inspect", "--state", str(tmp_path), "--port", str(port)]) == 1
    output = capsys.readouterr()
    assert (output.out, f"port {port} is in use" in output.err) == ("", True)


def test_a_cloud_is_emulated_whole_or_not_at_all() -> None:
    assert deployment_ports(TARGET, {}).settings.is_local is False
    assert deployment_ports(TARGET, dict.fromkeys(EMULATED, "127.0.0.1:1")).settings.is_local is True


# Retries of reads


def answering(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> tuple[GoogleApi, list[float], list[str]]:
    """An API whose requests end with these statuses in turn, the waits before its retries, and its requests."""
    left, waits, urls = list(statuses), list[float](), list[str]()

    def ask(_: str, url: str, __: Mapping[str, str], ___: bytes | None = None) -> JsonObject:
        urls.append(url)
        if (status := left.pop(0)) != 200:
            raise ApiError(status, "REASON", "rejected")
        return {"name": "it"}

    monkeypatch.setattr(gcp, "ask", ask)
    return GoogleApi("my-project", lambda: "token", {}, waits.append), waits, urls


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_read_is_repeated_after_a_transient_error(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    google, waits, urls = answering(monkeypatch, status, 200)
    assert google.get("run", "/v2/x") == {"name": "it"}
    assert (waits, urls) == ([RETRY_WAITS_SECONDS[0]], ["https://run.googleapis.com/v2/x"] * 2)


def test_the_last_transient_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    google, waits, _ = answering(monkeypatch, 503, 503, 503)
    with pytest.raises(ApiError, match="503"):
        google.get("run", "/v2/x")
    assert waits == list(RETRY_WAITS_SECONDS)


@pytest.mark.parametrize("status", [0, 400, 403, 404])
def test_no_other_error_is_repeated(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    google, waits, urls = answering(monkeypatch, status)
    with pytest.raises(ApiError):
        google.get("run", "/v2/x")
    assert (waits, len(urls)) == ([], 1)


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
    prices = read_prices(COSTS.price_file, used)
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
    return {row.price_name: row.amount for row in rows(plan, COSTS.read_usage(), traffic, kept or Retention())}


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
