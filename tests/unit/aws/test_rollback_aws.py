"""`hookchain rollback-aws`: the code that the last deployment replaced serves again."""

from pathlib import Path

import pytest

from deploy.aws.prepare import prepare
from deploy.aws.stack_changes import changed_entries, earlier_code, with_earlier_code
from deploy.aws.template import read_template
from shared.jsontext import JsonObject, to_json
from tests.aws.operator import Stack
from tests.fakes.command import Command
from tests.unit.aws.rendered import inside
from tests.unit.aws.test_deploy_aws import sam_that
from tests.unit.gcp.planned import CONFIG

OLD = {"receive": "r1", "transform": "t1", "notify": "n1"}


def deployed(digests: dict[str, str], noted: JsonObject | None = None) -> JsonObject:
    functions: JsonObject = {
        f"{name.capitalize()}Function": {"Properties": {"CodeUri": f"s3://sam/{digest}", "Timeout": 30}}
        for name, digest in digests.items()
    }
    return {"Metadata": {"CodeDigests": dict(digests), "EarlierCode": noted or {}}, "Resources": functions}


T1: JsonObject = {"transform": {"Digest": "t1", "CodeUri": "s3://sam/t1"}}


def test_a_deployment_notes_the_code_that_it_replaces_and_no_other() -> None:
    assert earlier_code(deployed(OLD), {**OLD, "transform": "t2"}) == T1
    assert earlier_code(deployed(OLD), {**OLD, "subscribe": "s1"}) == {}


def test_a_deployment_that_changes_no_code_keeps_the_note() -> None:
    assert earlier_code(deployed({**OLD, "transform": "t2"}, T1), {**OLD, "transform": "t2"}) == T1


def test_a_rollback_changes_the_code_and_nothing_else_and_the_next_deployment_is_a_change() -> None:
    stack = deployed({**OLD, "transform": "t2"}, T1)
    rolled, functions = with_earlier_code(stack, ())
    assert functions == ["transform"]
    assert inside(rolled, "Resources", "TransformFunction", "Properties") == {"CodeUri": "s3://sam/t1", "Timeout": 30}
    assert inside(rolled, "Resources", "NotifyFunction") == inside(stack, "Resources", "NotifyFunction")
    assert inside(rolled, "Metadata") == {"CodeDigests": OLD, "EarlierCode": {}}
    assert with_earlier_code(rolled, ())[1] == []
    assert earlier_code(rolled, {**OLD, "transform": "t2"}) == T1
    assert list(changed_entries(rolled, stack)) == ["update metadata CodeDigests", "  transform: t1 → t2"]
    assert with_earlier_code(stack, ["notify"])[1] == []


def test_the_note_is_in_the_template_of_the_next_deployment(tmp_path: Path) -> None:
    config = tmp_path / "hookchain.yaml"
    config.write_text(CONFIG)
    prepared = prepare(config, {}, "shop-", tmp_path / "aws")
    document = read_template(prepared.after(deployed(OLD)).template)
    assert inside(document, "Metadata", "EarlierCode", "transform") == T1["transform"]
    assert "EarlierCode" not in prepared.template
    planned = read_template(prepared.template)
    assert [line for line in changed_entries(document, planned) if "EarlierCode" in line] == []


@pytest.fixture
def rollback(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command on a stack whose last deployment changed transform."""
    stack.describe()
    stack.stand_in.parameters = {"Prefix": stack.prefix, "LogDays": "30"}
    stack.stand_in.template = to_json(deployed({**OLD, "transform": "t2"}, T1))
    (tmp_path / ".env").touch()
    where = ["--stack", stack.name, "--region", stack.place.region, "--env-file", str(tmp_path / ".env")]
    return Command(capsys, "rollback-aws", after=[*where, "--out", str(tmp_path / "out")])


def test_the_command_has_sam_deploy_the_stack_with_the_earlier_code(
    rollback: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sam_that(0, tmp_path, monkeypatch)
    assert rollback("--dry-run") == "The code before the last deployment would serve again: transform\n"
    assert not asked.exists()
    assert rollback() == "The code before the last deployment serves again: transform\n"
    assert asked.read_text().startswith("deploy --template-file built/template.yaml --stack-name ")
    written = read_template((tmp_path / "out" / "built" / "template.yaml").read_text())
    assert inside(written, "Resources", "TransformFunction", "Properties", "CodeUri") == "s3://sam/t1"
    assert read_template((tmp_path / "out" / "parameters.yaml").read_text())["LogDays"] == "30"


def test_what_cannot_be_rolled_back_exits_with_1(
    rollback: Command, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam_that(1, tmp_path, monkeypatch)
    unchanged = rollback("--function", "notify", code=1)
    assert "notify: its code stays, because the last deployment did not change it" in unchanged
    rollback(code=1)
    assert "the SAM CLI failed" in rollback.error
    stack.stand_in.template = to_json(deployed(OLD))
    assert "No earlier code is known" in rollback(code=1)
    stack.stand_in.stacks.clear()
    rollback(code=1)
    assert "is not deployed: make deploy-aws" in rollback.error
