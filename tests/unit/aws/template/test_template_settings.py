"""What a configuration and the environment change in the template, and what the commands read from it."""

import re
from pathlib import PurePosixPath

import pytest

from deploy.aws import template_names as names
from deploy.bundle.bundle import bundle_files
from deploy.cloud_access.aws_names import URL_OUTPUT
from deploy.topology.topology import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES
from functions.transform.lambda_handler import CHAINS_ALIAS
from shared.cloud.aws import batches
from shared.jsontext import Json
from shared.ports import TOPIC_NAMES
from tests.processes import ROOT
from tests.unit.aws.rendered import Stack, inside, objects, template, text, walk
from tests.unit.gcp.planned import CONFIG
from tests.unit.topology.configured import topology, with_further


def test_all_names_begin_with_the_prefix(stack: Stack) -> None:
    given: list[Json] = [
        value
        for each in walk(template())
        for key, value in each.items()
        if re.fullmatch(r"[A-Z][A-Za-z]+Name", key)
        if key not in {"MetricName", "AttributeName", "IndexName", "PolicyName", "LogGroupName"} and not _is_ref(value)
    ]
    assert len(given) > 20
    assert not [each for each in given if not str(inside(each, "Fn::Sub")).startswith("${Prefix}")]
    assert inside(template(), "Parameters", "Prefix", "Default") == "hookchain-"


def _is_ref(value: Json) -> bool:
    return isinstance(value, dict) and "Ref" in value


def test_a_later_function_is_updated_first(stack: Stack) -> None:
    assert stack.resources["ReceiveFunction"]["DependsOn"] == "TransformFunction"
    assert stack.resources["TransformFunction"]["DependsOn"] == "NotifyFunction"


def test_a_configuration_can_size_a_function() -> None:
    sizes = "\naws:\n  receive: {max_concurrency: 50}\n  transform: {memory: 2048}\n  notify: {max_concurrency: 3}\n"
    parameters = inside(template(topology(CONFIG + sizes)), "Parameters")
    found = {name: inside(parameters, name, "Default") for name in ("ReceiveConcurrency", "NotifyConcurrency")}
    assert found == {"ReceiveConcurrency": 50, "NotifyConcurrency": 3}
    usual = inside(template(), "Parameters")
    assert inside(usual, "ReceiveConcurrency", "Default") == 0
    assert inside(usual, "NotifyConcurrency", "Default") == 20


def test_a_queue_of_two_functions_is_a_fault() -> None:
    with pytest.raises(ValueError, match=r"topic 'events': must have one function on AWS"):
        text(with_further())


def test_chains_are_called_by_an_alias_under_which_transform_takes_no_event(stack: Stack) -> None:
    [alias] = stack.of_kind("Lambda::Alias").values()
    assert alias == {"Name": CHAINS_ALIAS, "FunctionName": {"Ref": "TransformFunction"}, "FunctionVersion": "$LATEST"}


def test_a_message_is_tried_as_often_as_the_functions_wait_for() -> None:
    assert MOST_TRIES == batches.MAX_RECEIVES
    assert (FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) == (batches.MIN_WAIT_SECONDS, batches.MAX_WAIT_SECONDS)


def test_the_commands_find_the_url(stack: Stack) -> None:
    assert URL_OUTPUT in objects(template()["Outputs"])[0]


@pytest.mark.slow
def test_each_function_has_the_handler_that_its_bundle_has(stack: Stack) -> None:
    for name in ("receive", "transform", "notify"):
        own = stack.of_kind("Serverless::Function")[names.function(name)]
        module, _, function = str(own["Handler"]).rpartition(".")
        place = PurePosixPath(*module.split(".")).with_suffix(".py")
        assert f"def {function}(" in bundle_files(ROOT, name, "aws")[place].read_text()
        assert own["CodeUri"] == f"{name}/"


def test_the_topics_are_those_of_the_ports(stack: Stack) -> None:
    queues = {str(inside(each, "QueueName", "Fn::Sub")) for each in stack.of_kind("SQS::Queue").values()}
    wanted = {f"${{Prefix}}{topic}{end}" for topic in TOPIC_NAMES for end in ("", "-undelivered")}
    assert queues == wanted


def test_what_can_have_a_tag_has_the_deployments(stack: Stack) -> None:
    tagged = ("SQS::Queue", "DynamoDB::Table", "S3::Bucket", "IAM::Role", "Logs::LogGroup", "SNS::Topic")
    for kind in (*tagged, "CloudWatch::Alarm"):
        for name, properties in stack.of_kind(kind).items():
            assert properties["Tags"] == [{"Key": "hookchain", "Value": {"Ref": "Prefix"}}], name
    assert inside(template(), "Globals", "Function", "Tags") == {"hookchain": {"Ref": "Prefix"}}
