"""`hookchain plan-aws`: the bundles, and the template or its changes."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.fakes.command import Command
from tests.unit.aws.rendered import tool_or_skip
from tests.unit.gcp.planned import CONFIG

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def plan(config: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    places = ["--config", str(config), "--out", str(config.parent / "aws"), "--env-file", os.devnull]
    return Command(capsys, "plan-aws", after=places)


def test_it_writes_the_bundles_and_prints_the_template(config: Path, plan: Command) -> None:
    printed, out = plan(), config.parent / "aws"
    assert sorted(path.name for path in out.iterdir()) == ["notify", "receive", "template.yaml", "transform"]
    assert printed == (out / "template.yaml").read_text()
    assert (out / "receive" / "slice.json").is_file()
    assert (out / "receive" / "requirements.txt").is_file()


def test_a_second_time_it_prints_what_has_changed(config: Path, plan: Command) -> None:
    plan()
    config.write_text(CONFIG.replace("timeout: 45", "timeout: 50"))
    changed = plan().splitlines()
    assert "-      Timeout: 75" in changed
    assert "+      Timeout: 80" in changed
    assert plan().startswith("Nothing has changed since the last plan")


def test_a_changed_route_is_another_code_of_transform_and_of_nothing_else(config: Path, plan: Command) -> None:
    plan()
    config.write_text(CONFIG.replace("from: all", "from: all, types: [order.*]"))
    changed = [line for line in plan().splitlines() if line[0] in "-+" and line[1] == " "]
    assert [line.split(":")[0].replace(" ", "") for line in changed] == ["-transform", "+transform"]


def test_a_wrong_prefix_writes_nothing(config: Path, plan: Command) -> None:
    plan("--prefix", "Shop_", code=1)
    assert "prefix: must be" in plan.error
    assert not (config.parent / "aws").exists()


def test_a_source_that_aws_does_not_serve_in_full_is_a_warning(config: Path, plan: Command) -> None:
    bus = "\n  orders: {bus: {pubsub: orders}}\n  old: {bus: {bucket: files, events: archive}}"
    text = CONFIG.replace("secret: shop-key}", "secret: shop-key}, max_body_bytes: 10000000")
    config.write_text(text.replace("sources:", f"sources:{bus}"))
    plan()
    warned = plan.error
    assert "warning: source 'orders' gets no messages on AWS from its `pubsub`" in warned
    assert "warning: source 'old' gets no messages on AWS from its `bucket`" in warned
    assert "warning: source 'shop': max_body_bytes is 10,000,000" in warned
    assert "'signup'" not in warned


def test_it_begins_with_a_summary(config: Path, plan: Command) -> None:
    plan("--stack", "shop")
    assert "\n# Everything that is created by the stack shop: 8 tables, 6 queues, 5 metric filters, " in plan.error
    assert "a new account has 10 in all" in plan.error


def test_a_region_that_does_not_exist_is_rejected(config: Path, plan: Command) -> None:
    plan("--region", "eu-central-9", code=1)
    assert re.search(r"region: must be .*; got 'eu-central-9'|has no region 'eu-central-9'", plan.error)


def test_it_prints_the_translation(config: Path, plan: Command) -> None:
    tool_or_skip("python")
    translated = json.loads(plan("--translated"))
    assert translated["Resources"]["ReceiveFunction"]["Type"] == "AWS::Lambda::Function"
