"""The template as AWS's tools read it, and as SAM translates it."""

import subprocess
from pathlib import Path

import pytest

from deploy.aws import sam
from deploy.aws.prepare import measured
from deploy.aws.template import template as render
from shared.jsontext import JsonObject, to_json
from tests.unit.aws.rendered import (
    CODE,
    Stack,
    inside,
    named,
    objects,
    stack_of,
    template,
    text,
    tool_or_skip,
    translated,
    walk,
    whole,
)
from tests.unit.gcp.planned import DEVELOP, SUBSCRIBERS
from tests.unit.topology.configured import topology

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def document() -> JsonObject:
    return translated()


@pytest.fixture(scope="module")
def stack(document: JsonObject) -> Stack:
    return stack_of(document)


def linted(path: Path, content: str) -> str:
    path.write_text(content)
    command = [tool_or_skip("cfn-lint"), str(path)]
    done = subprocess.run(command, env=sam.tool_environ(), capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.parametrize("config", [SUBSCRIBERS, DEVELOP])
def test_cfn_lint_finds_nothing_in_the_template(tmp_path: Path, config: str) -> None:
    assert linted(tmp_path / "template.yaml", text(topology(config))) == ""


def test_cfn_lint_finds_nothing_in_the_translation(tmp_path: Path, document: JsonObject) -> None:
    assert linted(tmp_path / "translated.json", to_json(document)) == ""


def test_the_limit_of_resources_counts_those_that_sam_makes(document: JsonObject) -> None:
    [stack] = [each for each in measured(render(topology(), CODE), topology()) if each.what == "the stack"]
    assert stack.count == len(objects([document["Resources"]])[0])


def test_everybody_may_call_receives_url_and_nothing_else(stack: Stack) -> None:
    """Since November 2026 a Function URL takes both permissions, also without authentication."""
    public = {"FunctionName": {"Ref": "ReceiveFunction"}, "Principal": "*"}
    permissions = list(stack.of_kind("Lambda::Permission").values())
    assert len(permissions) == 2
    assert {**public, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"} in permissions
    assert {**public, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True} in permissions


def test_a_message_is_hidden_for_six_times_as_long_as_its_function_may_take(stack: Stack) -> None:
    mappings = stack.of_kind("Lambda::EventSourceMapping")
    assert len(mappings) == 6
    for each in mappings.values():
        queue = stack.of_kind("SQS::Queue")[named(each["EventSourceArn"])]
        function = stack.of_kind("Lambda::Function")[str(inside(each["FunctionName"], "Ref"))]
        assert whole(queue["VisibilityTimeout"]) >= 6 * whole(function["Timeout"])
        assert each["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_scheduler_may_call_notify_and_nothing_else(stack: Stack) -> None:
    [(name, schedule)] = stack.of_kind("Scheduler::Schedule").items()
    role = named(inside(schedule, "Target", "RoleArn"))
    assert named(inside(schedule, "Target", "Arn")) == "NotifyFunction"
    assert stack.rights(role) == {("lambda:InvokeFunction", "NotifyFunction")}
    assert name == "NotifyFunctionSweep"


def test_sam_gives_the_functions_no_right_beside_those_of_the_template(stack: Stack) -> None:
    written = stack_of(template())
    roles = stack.of_kind("IAM::Role")
    assert roles.keys() == written.of_kind("IAM::Role").keys() | {"NotifyFunctionSweepRole"}
    for name, function in stack.of_kind("Lambda::Function").items():
        assert named(function["Role"]) == f"{name.removesuffix('Function')}Role"
    for role in written.of_kind("IAM::Role"):
        assert stack.rights(role) == written.rights(role)
    assert not [each for each in roles.values() if "ManagedPolicyArns" in each]


def test_no_value_of_the_translation_is_an_account_or_a_region(document: JsonObject) -> None:
    texts = [each for part in walk(document) for each in part.values() if isinstance(each, str)]
    assert not [each for each in texts if "eu-west-1" in each or "123456789012" in each]
