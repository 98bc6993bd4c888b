"""The commands deploy-aws, destroy-aws and rollback-aws, and what a deployment reserves of the account's instances."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from deploy.aws import sam
from deploy.aws.adoption import adoption_template, indexes_of
from deploy.aws.deployment import DotenvSettings, parameter_values, require_changeable, require_own
from deploy.aws.prepare import prepare
from deploy.aws.removal import Remaining
from deploy.aws.reserved_instances import AccountLimit, Reservation, find_reservation, offline_line, reservation
from deploy.aws.sam import Sam, SamFailed
from deploy.aws.stack_changes import changed_entries, earlier_code, with_earlier_code
from deploy.aws.template import parameter_defaults, read_template
from deploy.cloud_access import aws_names
from deploy.cloud_access.aws import AwsApi, AwsFault
from deploy.cloud_access.aws_names import checked_target
from deploy.config.dotenv import read_dotenv
from deploy.hooks.comparison import RememberedHook
from deploy.platforms.choice import open_platform
from deploy.terminal.command_line import CommandError
from functions.notify.hook_expiry import PARTITION
from shared.cloud.aws.tables import TABLES
from shared.jsontext import Json, JsonObject, mapping_at, to_json
from tests.aws.operator import Stack
from tests.fakes.command import Command
from tests.unit.aws.rendered import inside, objects, template
from tests.unit.gcp.planned import CONFIG
from tests.unit.topology.configured import topology

TARGET = checked_target("shop", "eu-central-1")
DEFAULTS = {"Prefix": "shop-", "Architecture": "arm64", "NotifyMemory": "1024"}


class FailedStack(AwsApi):
    """CloudFormation with these events of a stack, or with those of a creation that failed."""

    def __init__(self, *events: JsonObject) -> None:
        super().__init__("eu-central-1", {})
        self._events: list[Json] = [*events]

    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        assert (service, operation) == ("cloudformation", "describe_stack_events")
        reason: JsonObject = {
            "LogicalResourceId": "Blobs",
            "ResourceStatus": "CREATE_FAILED",
            "ResourceStatusReason": "{taken}",
        }
        ended: JsonObject = {"LogicalResourceId": "shop", "ResourceStatus": "ROLLBACK_COMPLETE"}
        return {"StackEvents": self._events or [ended, reason]}


def deployed(values: Mapping[str, str], status: str = "CREATE_COMPLETE") -> JsonObject:
    listed: list[Json] = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    return {"StackName": "shop", "StackStatus": status, "Parameters": listed}


def sam_that(exit_code: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a `sam` that writes down its arguments. Return the file."""
    tool = folder / "tools" / "sam"
    tool.parent.mkdir()
    asked = folder / "asked"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexit {exit_code}\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setattr(sam, "TOOLS", tool.parent)
    return asked


def test_a_parameter_that_the_configuration_decides_is_always_written_and_the_operators_own_stay() -> None:
    stack = deployed({"Prefix": "shop-", "Architecture": "x86_64", "NotifyMemory": "512"})
    found = {"Prefix": "shop-", "Architecture": "x86_64", "NotifyMemory": "1024"}
    assert parameter_values(DEFAULTS, stack, {}) == found
    assert parameter_values(DEFAULTS, None, {}) == DEFAULTS
    assert parameter_values(DEFAULTS, stack, {"Architecture": "arm64"})["Architecture"] == "arm64"


def test_an_unknown_parameter_is_rejected() -> None:
    with pytest.raises(CommandError, match=r"--parameter: must be one of Prefix, .*; got 'Color'"):
        parameter_values(DEFAULTS, None, {"Color": "red"})


def test_a_stack_of_something_else_and_one_with_another_prefix_are_left_alone() -> None:
    with pytest.raises(CommandError, match="is not a deployment of Hookchain"):
        require_own(deployed({"Size": "1"}), TARGET)
    with pytest.raises(CommandError, match="its prefix is 'other-' and cannot change; got 'shop-'"):
        require_own(deployed({"Prefix": "other-"}), TARGET)
    require_own(deployed({"Prefix": "shop-"}), TARGET)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_COMPLETE", "Remove it with `make destroy-aws`, then run `make deploy-aws` again"),
        ("UPDATE_IN_PROGRESS", "another change is running"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name shop --region eu-central-1"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_reported_with_what_to_do(status: str, advice: str) -> None:
    with pytest.raises(CommandError) as error:
        require_changeable(deployed({}, status), TARGET, FailedStack())
    assert f"stack shop in eu-central-1 is {status}: " in str(error.value)
    assert advice in str(error.value)


def test_the_reasons_of_a_failed_creation_are_repeated() -> None:
    with pytest.raises(CommandError, match=r"\n  Blobs: {taken}$"):
        require_changeable(deployed({}, "ROLLBACK_COMPLETE"), TARGET, FailedStack())


def test_only_the_failures_of_the_last_change_are_repeated() -> None:
    def own(status: str) -> JsonObject:
        return {"StackId": "arn:shop", "PhysicalResourceId": "arn:shop", "ResourceStatus": status}

    def failed(name: str, status: str) -> JsonObject:
        event = {"LogicalResourceId": name, "ResourceStatus": status, "ResourceStatusReason": "not empty"}
        return {"StackId": "arn:shop", "PhysicalResourceId": name, **event}

    update = [failed("Queue", "UPDATE_FAILED"), own("UPDATE_IN_PROGRESS"), own("CREATE_IN_PROGRESS")]
    deletion = [own("DELETE_FAILED"), failed("Blobs", "DELETE_FAILED"), own("DELETE_IN_PROGRESS")]
    with pytest.raises(CommandError, match=r"last change:\n  Blobs: not empty$"):
        require_changeable(deployed({}, "DELETE_FAILED"), TARGET, FailedStack(*deletion, *update))


def test_what_was_deployed_is_remembered_and_env_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "HOOKCHAIN_STACK"):
        monkeypatch.delenv(name, raising=False)
    env = tmp_path / ".env"
    first = DotenvSettings(env, TARGET, {"EMAIL_FROM": "a@example.com"}, ("EMAIL_FROM", "SMTP_URL"))
    assert first.missing_target_options() == " --stack shop --region eu-central-1"
    assert first.keep() == []
    kept = {"AWS_REGION": "eu-central-1", "EMAIL_FROM": "a@example.com", "HOOKCHAIN_STACK": "shop"}
    assert read_dotenv(env) == kept
    assert first.missing_target_options() == ""
    [note] = DotenvSettings(env, checked_target("shop", "us-east-1"), {}, ()).keep()
    assert "AWS_REGION=eu-central-1" in note
    assert read_dotenv(env) == kept
    second = DotenvSettings(env, checked_target("hookchain", "eu-central-1", "mine"), {}, ())
    assert second.missing_target_options() == " --stack hookchain --region eu-central-1 --prefix mine-"


def test_kept_tables_are_imported_by_their_names_and_survive_a_failure() -> None:
    kept = Remaining(("shop-deliveries",), ("shop-blobs-1-x",), ("shop-key",))
    template = read_template(adoption_template(topology(), "shop-", kept, {"shop-deliveries": frozenset()}))
    resources = mapping_at(template, "Resources")
    assert resources.keys() == {"DeliveriesTable", "Blobs"}
    assert inside(resources["DeliveriesTable"], "Properties", "TableName") == "shop-deliveries"
    assert inside(resources["Blobs"], "Properties", "BucketName") == "shop-blobs-1-x"
    assert {str(inside(each, "DeletionPolicy")) for each in resources.values()} == {"Retain"}


def test_a_kept_table_of_an_earlier_version_is_imported_with_the_indexes_that_it_has(stack: Stack) -> None:
    stack.add_tables()
    tables = [aws_names.table(stack.prefix, name) for name in aws_names.TABLES]
    indexes = indexes_of(stack.api(), tables)
    whole = {name: {index.name for index in table.indexes} for name, table in zip(tables, TABLES, strict=True)}
    assert indexes == whole
    deliveries = aws_names.table(stack.prefix, "deliveries")
    kept = Remaining(tuple(tables), (), ())
    earlier = {**indexes, deliveries: indexes[deliveries] - {"by_endpoint"}}
    now, then = (read_template(adoption_template(topology(), stack.prefix, kept, each)) for each in (indexes, earlier))
    for adopted, has_it in ((now, True), (then, False)):
        properties = mapping_at(adopted, "Resources", "DeliveriesTable", "Properties")
        listed = {str(each["IndexName"]) for each in objects(properties["GlobalSecondaryIndexes"])}
        defined = {str(each["AttributeName"]) for each in objects(properties["AttributeDefinitions"])}
        assert ("by_endpoint" in listed, "endpoint_at" in defined) == (has_it, has_it)
        assert len(listed) == len(whole[deliveries]) - (not has_it)
    keys = objects(inside(now, "Resources", "DocumentsTable", "Properties", "KeySchema"))
    assert [each["AttributeName"] for each in keys] == ["partition", "id"]


def test_sam_gets_every_parameter_by_a_file_and_its_failure_is_a_line_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "Alarms": "on",
        "SmtpUrl": "smtp://a\x7f\x85b@example.com",
        "EmailFrom": 'Ann "A" <a@example.com>',
        "A": "",
    }
    asked = sam_that(1, tmp_path, monkeypatch)
    with pytest.raises(SamFailed, match=r"^\(cd .* && .*sam deploy --template-file built/template.yaml .*\)$"):
        Sam(TARGET, tmp_path, {}).deploy(values)
    assert read_template((tmp_path / "parameters.yaml").read_text(encoding="utf-8")) == values
    words = asked.read_text(encoding="utf-8")
    for option in ("--resolve-s3", "--capabilities CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset"):
        assert option in words


@pytest.fixture
def deploy(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    where = ["--stack", stack.name, "--region", stack.place.region, "--env-file", str(tmp_path / ".env")]
    return Command(capsys, "deploy-aws", after=[*where, "--out", str(tmp_path / "build")])


def test_missing_secrets_are_stored_first_and_a_failure_says_how_to_go_on(
    stack: Stack, deploy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam_that(1, tmp_path, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", stack.stand_in.url)
    monkeypatch.setenv("PAY_KEY", "a-key-to-sign-with-1")
    output = deploy(code=1)
    assert f"created: secret {stack.prefix}shop-password" in output
    assert f"created: secret {stack.prefix}pay-key" in output
    assert "Run the same `make deploy-aws` again" in deploy.error
    assert (tmp_path / "build" / "template.yaml").is_file()
    assert "20 for transform and 29 for notify" in output


def test_a_missing_secret_stops_before_anything_is_changed(
    stack: Stack, deploy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sam_that(0, tmp_path, monkeypatch)
    deploy(code=1)
    assert "nothing was changed: a secret is missing" in deploy.error
    assert f"hookchain secrets set pay-key --platform aws --stack {stack.name}" in deploy.error
    assert not asked.exists()
    stored = stack.call("secretsmanager", "list_secrets", Filters=[{"Key": "name", "Values": [stack.prefix]}])
    assert stored["SecretList"] == []


def test_a_secret_of_another_deployment_is_not_used(
    stack: Stack, deploy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sam_that(0, tmp_path, monkeypatch)
    tags: list[Json] = [{"Key": "hookchain", "Value": "other-"}]
    name = f"{stack.prefix}shop-password"
    stack.call("secretsmanager", "create_secret", Name=name, SecretString="a-key-to-sign-with-1", Tags=tags)
    monkeypatch.setenv("PAY_KEY", "a-key-to-sign-with-1")
    deploy(code=1)
    assert f"nothing was changed: secret {name} has the tag of the deployment 'other-'" in deploy.error
    assert not asked.exists()


def test_missing_tools_are_named_with_advice(deploy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "TOOLS", tmp_path / "nowhere")
    deploy(code=1)
    assert "Run `make sam`" in deploy.error


# What an earlier stack left, which goes only if it is asked for


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


@pytest.fixture
def destroy(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys, "destroy-aws", after=["--stack", stack.name, "--region", stack.place.region])


@pytest.mark.slow
def test_all_removes_everything_but_another_deployments_secrets(left: Stack, destroy: Command) -> None:
    destroy("--all", "--confirm", left.prefix)
    assert "Kept" not in destroy()
    assert left.call("secretsmanager", "describe_secret", SecretId=f"{left.prefix}other-key")["Name"]


def test_another_word_than_the_prefix_removes_nothing(left: Stack, destroy: Command) -> None:
    asyncio.run(_remember_hook(left))
    output = destroy("--all", "--confirm", left.name, code=1)
    assert f"secret {left.prefix}key, which cannot be restored" in output
    assert "These webhooks stay registered at their providers: github acme/shop. To remove them first:" in output
    assert f"hookchain hooks remove --platform aws --stack {left.name} " in output
    assert "nothing was removed" in destroy.error
    assert f"secret {left.prefix}key" in destroy()


async def _remember_hook(stack: Stack) -> None:
    options = argparse.Namespace(platform="aws", project=None, **asdict(stack.target))
    async with open_platform(options, stack.environ).subscriber_stores() as stores:
        await stores.documents.write(
            PARTITION, "github", json.dumps({"hooks": {"acme/shop": asdict(RememberedHook("1"))}})
        )


OLD = {"receive": "r1", "transform": "t1", "notify": "n1"}


def deployed_stack(digests: dict[str, str], noted: JsonObject | None = None) -> JsonObject:
    functions: JsonObject = {
        f"{name.capitalize()}Function": {"Properties": {"CodeUri": f"s3://sam/{digest}", "Timeout": 30}}
        for name, digest in digests.items()
    }
    return {"Metadata": {"CodeDigests": dict(digests), "EarlierCode": noted or {}}, "Resources": functions}


T1: JsonObject = {"transform": {"Digest": "t1", "CodeUri": "s3://sam/t1"}}


def test_a_deployment_notes_the_code_that_it_replaces_and_no_other() -> None:
    assert earlier_code(deployed_stack(OLD), {**OLD, "transform": "t2"}) == T1
    assert earlier_code(deployed_stack(OLD), {**OLD, "subscribe": "s1"}) == {}


def test_a_deployment_that_changes_no_code_keeps_the_note() -> None:
    assert earlier_code(deployed_stack({**OLD, "transform": "t2"}, T1), {**OLD, "transform": "t2"}) == T1


def test_a_rollback_changes_the_code_and_nothing_else_and_the_next_deployment_is_a_change() -> None:
    stack = deployed_stack({**OLD, "transform": "t2"}, T1)
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
    document = read_template(prepared.after(deployed_stack(OLD)).template)
    assert inside(document, "Metadata", "EarlierCode", "transform") == T1["transform"]
    assert "EarlierCode" not in prepared.template
    planned = read_template(prepared.template)
    assert [line for line in changed_entries(document, planned) if "EarlierCode" in line] == []


@pytest.fixture
def rollback(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command on a stack whose last deployment changed transform."""
    stack.describe()
    stack.stand_in.parameters = {"Prefix": stack.prefix, "LogDays": "30"}
    stack.stand_in.template = to_json(deployed_stack({**OLD, "transform": "t2"}, T1))
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
    stack.stand_in.template = to_json(deployed_stack(OLD))
    assert "No earlier code is known" in rollback(code=1)
    stack.stand_in.stacks.clear()
    rollback(code=1)
    assert "is not deployed: make deploy-aws" in rollback.error


NEEDS = topology()
RESERVED_DEFAULTS = parameter_defaults(NEEDS, "shop-")
RESERVED = {"TransformReserved": "20", "NotifyReserved": "29"}
"""notify: 20 for deliveries, 2 for dead letters, 6 for what SQS gave up on, and one sweep."""
NOTHING = dict.fromkeys(RESERVED, "0")


def reserved(unreserved: int, instances: int = 1_000, **parameters: str) -> Reservation:
    return reservation(NEEDS, {**RESERVED_DEFAULTS, **parameters}, {}, AccountLimit("eu-west-1", instances, unreserved))


@pytest.mark.parametrize(
    ("unreserved", "values"), [(1_000, RESERVED), (149, RESERVED), (148, NOTHING), (100, NOTHING), (10, NOTHING)]
)
def test_both_functions_are_reserved_for_where_aws_can_leave_a_hundred(unreserved: int, values: dict[str, str]) -> None:
    found = reserved(unreserved)
    assert found.values == values
    assert (found.line.startswith("Reserved"), bool(found.todo)) == (values is RESERVED, values is NOTHING)


def test_a_new_account_is_told_in_one_line_what_it_lacks() -> None:
    found = reserved(10, instances=10)
    assert found.line == (
        "Nothing is reserved: 49 for transform and notify would leave fewer than 100 of the account's 10 instances in "
        "eu-west-1 unreserved, which AWS rejects. A flood of requests to receive can delay them."
    )
    assert found.todo.startswith("Request a limit of at least 149: https://eu-west-1.console.aws.amazon.com/")


def test_what_the_stack_reserves_already_counts_as_free() -> None:
    limit = AccountLimit("eu-west-1", 149, 100)
    assert reservation(NEEDS, RESERVED_DEFAULTS, RESERVED, limit).values == RESERVED
    assert reservation(NEEDS, RESERVED_DEFAULTS, {}, limit).values == NOTHING


def test_receive_is_limited_only_if_asked_and_only_where_that_fits() -> None:
    assert "ReceiveConcurrency" not in reserved(1_000).values
    asked = parameter_defaults(topology(CONFIG + "\naws:\n  receive: {max_concurrency: 50}\n"), "shop-")
    assert asked["ReceiveConcurrency"] == "50"
    assert "if the account has 199 unreserved ones" in offline_line(NEEDS, asked)
    enough, short = (AccountLimit("eu-west-1", 1_000, unreserved) for unreserved in (199, 198))
    assert reservation(NEEDS, asked, {}, enough).values == RESERVED
    assert reservation(NEEDS, asked, {}, short).values == NOTHING
    with pytest.raises(CommandError, match=r"aws: max_concurrency: must leave 100 of the account's .* got 50 for Rec"):
        reservation(NEEDS, asked, {}, AccountLimit("eu-west-1", 1_000, 149))


def test_a_parameter_that_is_no_number_is_rejected() -> None:
    with pytest.raises(CommandError, match=r"--parameter: NotifyConcurrency must be a whole number; got 'many'"):
        reserved(1_000, NotifyConcurrency="many")


def test_an_operator_can_switch_reservations_off() -> None:
    assert reserved(1_000, Reserve="off").values == NOTHING
    assert "because Reserve is off" in reserved(1_000, Reserve="off").line


def test_without_the_right_to_read_the_limit_reservations_stay() -> None:
    found = find_reservation(Denied(), NEEDS, RESERVED_DEFAULTS, {"NotifyReserved": "29"})
    assert found.values == {"TransformReserved": "0", "NotifyReserved": "29"}
    assert "cannot be read" in found.line


class Denied(FailedStack):
    def call(self, service: str, operation: str, **arguments: Json) -> JsonObject:
        raise AwsFault("AccessDeniedException", f"{service}: not allowed")


def test_a_template_that_is_deployed_by_hand_reserves_nothing() -> None:
    document = template(NEEDS)
    for name in ("Transform", "Notify", "Receive"):
        function = inside(document, "Resources", f"{name}Function", "Properties")
        setting = "Concurrency" if name == "Receive" else "Reserved"
        wanted = {"Fn::If": [f"Limits{name}", {"Ref": f"{name}{setting}"}, {"Ref": "AWS::NoValue"}]}
        assert inside(function, "ReservedConcurrentExecutions") == wanted
        assert inside(document, "Parameters", f"{name}{setting}", "Default") == 0
