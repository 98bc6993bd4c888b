"""Sources with a bus: what is accepted, what they compile to, and which clouds bring them messages."""

from pathlib import Path
from typing import Final

import pytest

from deploy.aws.prepare import prepare, warnings
from deploy.bundle.requirements import features
from deploy.cloud_access.gcp_names import Target
from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, ConfigFile, parse_config
from deploy.config.sections.bus_source import resource_name
from deploy.config.warnings import configuration_warnings
from deploy.doctor.places import buses_on_aws, buses_on_google
from deploy.gcp.deployment import prepare_deployment
from deploy.terminal.command_line import CommandError
from deploy.topology.buses import loop_warnings, own_bus_fault
from shared.jsontext import JsonObject, mapping_at
from tests.fakes.configurations import compile_text

QUEUE: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
MAIL = "email: {to: a@example.com}"


def file_text(source: str, destination: str = MAIL) -> str:
    return f"""
sources: {{uploads: {source}}}
routes: [{{name: all, from: all, to: there}}]
destinations: {{there: {{{destination}}}}}
"""


def file_of(source: str, destination: str = MAIL) -> ConfigFile:
    return parse_config(file_text(source, destination), "test.yaml", Path())


def compiled(source: str, destination: str = MAIL) -> dict[str, JsonObject]:
    return compile_config(file_of(source, destination))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("{bus: {}}", "must name one of"),
        ("{bus: {pubsub: a/b}}", "a topic's name"),
        ("{bus: {bucket: 'gs://files'}}", "without gs://"),
        ("{bus: {pubsub: orders, prefix: in/}}", "prefix: has an effect with `bucket` only"),
        ("{bus: {sqs: jobs}}", "a queue's ARN"),
        ("{bus: {eventbridge: {source: com.example}}}", "must be a list of values"),
        ("{bus: {pubsub: orders}, auth: none}", "`auth` is for requests"),
    ],
)
def test_a_bus_that_cannot_work_is_a_fault(source: str, rule: str) -> None:
    with pytest.raises(ConfigFaults, match=rule):
        compiled(source)


def test_no_scheme_of_auth_lets_a_request_in_even_with_a_public_url() -> None:
    text = "public_url: https://hooks.example.com\nsources: {uploads: {bus: {pubsub: orders}}}"
    source = mapping_at(compile_text(text)["receive"], "sources", "uploads")
    assert source["auth"] == []
    assert "public_url" not in source


def test_names_of_sources_that_no_resource_can_have_stay_different() -> None:
    names = ["a_b", "a-b", "A-b", "a" * 63, "a" * 62 + "b", "x_" * 31]
    made = [resource_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(len(each) <= 44 and each.startswith("bus-") and each == each.lower() for each in made)


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("{bus: {pubsub: orders}}", "on AWS, this source gets none"),
        (f"{{bus: {{sqs: '{QUEUE}'}}}}", "on Google Cloud, this source gets none"),
        ("{bus: {bucket: files, events: [finalize, archive]}}", "S3 has no event for archive"),
        ("{bus: {bucket: files}}", ""),
    ],
)
def test_lint_says_which_cloud_brings_no_messages(source: str, warning: str) -> None:
    file = file_of(source)
    rules = [each.rule for each in configuration_warnings(file, compile_config(file))]
    assert len(rules) == bool(warning)
    assert all(warning in rule for rule in rules)


def test_only_receive_that_verifies_pushes_needs_cryptography() -> None:
    assert features("receive", compiled("{bus: {bucket: files}}")["receive"]) == ("crypto",)
    assert features("receive", compiled(f"{{bus: {{sqs: '{QUEUE}'}}}}")["receive"]) == ()


@pytest.mark.parametrize(
    ("source", "destination", "on_google", "on_aws"),
    [
        ("{auth: none}", MAIL, None, None),
        ("{bus: {pubsub: orders}}", MAIL, "grants all rights", "gets no messages on AWS"),
        ("{bus: {pubsub: projects/my-project-2/topics/orders}}", MAIL, "in another project", "gets no messages on AWS"),
        ("{bus: {pubsub: projects/my-project/topics/orders}}", MAIL, "grants all rights", "gets no messages on AWS"),
        (f"{{bus: {{sqs: '{QUEUE}'}}}}", MAIL, "gets no messages on Google", "grants all rights"),
        (
            "{auth: none}",
            "bus: {pubsub: projects/other-one/topics/out}",
            "in another project",
            "have no Google account",
        ),
        ("{auth: none}", f"bus: {{sqs: '{QUEUE}'}}", "have no AWS role", "grants all rights"),
        ("{bus: {bucket: files}}", MAIL, "grants all rights", "EventBridge is on"),
    ],
)
def test_doctor_says_what_has_no_effect_and_which_rights_are_anothers_to_give(
    source: str, destination: str, on_google: str | None, on_aws: str | None
) -> None:
    slices = compiled(source, destination)
    for found, text in ((buses_on_google(slices, "my-project"), on_google), (buses_on_aws(slices), on_aws)):
        assert (found is None) == (text is None)
        assert found is None or text is None or text in found.found


@pytest.mark.parametrize(
    ("source", "key", "is_loop"),
    [
        ("{bus: {bucket: files, prefix: in/}}", ", key: 'in/{{ id }}'", True),
        ("{bus: {bucket: files, prefix: in/}}", "", True),
        ("{bus: {bucket: files, prefix: in/}}", ", key: 'out/{{ id }}'", False),
        ("{bus: {bucket: others}}", "", False),
    ],
)
def test_lint_and_a_deployment_to_aws_warn_of_a_source_whose_events_become_objects_in_its_own_bucket(
    source: str, key: str, is_loop: bool
) -> None:
    file = file_of(source, f"object: {{bucket: gs://files{key}}}")
    slices = compile_config(file)
    assert [each.where for each in loop_warnings(file, slices)] == ["source 'uploads'"] * is_loop
    assert [each.partition(":")[0] for each in warnings(slices)] == ["source 'uploads'"] * is_loop


@pytest.mark.parametrize(
    ("bus", "is_own"),
    [
        ("{pubsub: hookchain-events}", True),
        ("{pubsub: projects/other-one/topics/hookchain-events}", False),
        ("{sqs: 'arn:aws:sqs:eu-central-1:123456789012:hookchain-deliveries'}", True),
        (f"{{sqs: '{QUEUE}'}}", False),
    ],
)
def test_no_deployment_takes_the_messages_of_its_own_topics_as_a_source(bus: str, is_own: bool, tmp_path: Path) -> None:
    config = tmp_path / "hookchain.yaml"
    config.write_text(file_text(f"{{bus: {bus}}}"), encoding="utf-8")
    receive = compile_config(file_of(f"{{bus: {bus}}}"))["receive"]
    assert bool(own_bus_fault(receive, "hookchain-", "my-project")) is is_own
    if is_own:
        with pytest.raises(CommandError, match="must not name hookchain-"):
            prepare_deployment(Target("my-project"), "1", config, {}, tmp_path)
        if "sqs" in bus:
            with pytest.raises(CommandError, match="must not name hookchain-"):
                prepare(config, {}, "hookchain-", tmp_path)
