"""The limits of both clouds are checked before anything starts, and a role's rights are split before its own is met."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.aws.prepare import measured as limits_of_aws
from deploy.aws.resources.policies import INLINE_CHARACTERS, MANAGED_POLICIES, characters
from deploy.aws.template import template
from deploy.cli.lint import main as lint
from deploy.cloud_access.aws_names import checked_target as checked_stack
from deploy.cloud_access.gcp_names import checked_target
from deploy.gcp.graph import graph
from deploy.gcp.limits import measured as limits_of_google
from deploy.terminal.command_line import CommandError
from deploy.topology.limits import Measured, over_limits, require_limits
from shared.jsontext import mapping_at, objects_at, to_json, value_at
from tests.unit.aws.rendered import CODE, Stack, inside, objects, stack_of, template as read_template, walk
from tests.unit.gcp.planned import deployment
from tests.unit.topology.configured import topology

SECRET = "secretsmanager:GetSecretValue"


def configured(sources: str, destinations: str = "  x: {log: {}}\n") -> str:
    names = ", ".join(re.findall(r"^  (\w+):", destinations, re.MULTILINE))
    return f"sources:\n{sources}routes: [{{name: a, from: all, to: [{names}]}}]\ndestinations:\n{destinations}"


def posting(count: int) -> str:
    lines = (f"  shop-source-{n}: {{auth: {{scheme: bearer, secret: shop-source-{n}-key}}}}\n" for n in range(count))
    return configured("".join(lines))


def brought(count: int, bus: str) -> str:
    return configured("".join(f"  s{n}: {{bus: {bus.replace('@', str(n))}}}\n" for n in range(count)))


def writing(count: int, kind: str) -> str:
    found = "".join(f"  o{n}: {kind.replace('@', str(n))}\n" for n in range(count))
    return configured("  shop: {auth: {scheme: bearer, secret: shop-key}}\n", found)


def on_aws(config: str, environ: dict[str, str] | None = None) -> list[Measured]:
    needs = topology(config, environ)
    return over_limits(limits_of_aws(template(needs, CODE), needs))


def on_google(config: str, environ: dict[str, str] | None = None) -> list[Measured]:
    found = deployment(config, environ)
    return over_limits(limits_of_google(graph(found), found.topology))


RULE = "{eventbridge: {source: [com.example.@]}}"
OBJECTS = "{object: {bucket: 'gs://my-bucket-@', key: 'a/{{ delivery_id }}'}}"


@pytest.mark.parametrize(
    ("found", "config", "text"),
    [
        (on_aws, posting(700), "a policy of ReceiveRole may have at most 6,144 characters"),
        (on_aws, brought(110, RULE), "the stack may have at most 500 resources; got 5"),
        (on_google, writing(21, OBJECTS), "to serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com may"),
        (
            on_google,
            brought(11, "{bucket: files, events: [finalize], prefix: in@/}"),
            "10 notifications OBJECT_FINALIZE",
        ),
    ],
)
def test_what_is_over_a_limit_is_named_with_the_limit_and_its_source(
    found: Callable[[str], list[Measured]], config: str, text: str
) -> None:
    texts = [each.text for each in found(config)]
    assert any(text in each for each in texts), texts
    assert all("https://" in each for each in texts)


@pytest.mark.parametrize(
    ("found", "config"),
    [
        (on_aws, posting(300)),
        (on_google, writing(20, OBJECTS)),
        (on_google, brought(10, "{bucket: files, events: [finalize], prefix: in@/}")),
    ],
)
def test_a_deployment_within_the_limits_is_not_named(found: Callable[[str], list[Measured]], config: str) -> None:
    assert found(config) == []


@pytest.mark.parametrize(("found", "length"), [(on_aws, 4_100), (on_google, 33_000)])
def test_a_too_long_variable_is_named(found: Callable[[str, dict[str, str]], list[Measured]], length: int) -> None:
    assert any("bytes" in each.text for each in found(posting(1), {"EMAIL_FROM": f"{'a' * length}@example.com"}))


def test_a_quota_that_aws_raises_is_a_warning_and_every_other_limit_stops_the_deployment() -> None:
    fixed = Measured("the stack", "resources", 501, 500, "https://x", "Use fewer")
    quota = Measured("the event bus", "rules", 301, 300, "https://x", "Use fewer", can_grow=True)
    assert require_limits([quota]) == [
        "the event bus may have at most 300 rules; got 301. Use fewer, or request a higher quota: https://x"
    ]
    with pytest.raises(
        CommandError, match=r"^the stack may have at most 500 resources; got 501. Use fewer: https://x$"
    ):
        require_limits([quota, fixed])


def test_lint_warns_of_each_cloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hookchain.yaml"
    path.write_text(brought(110, RULE))
    assert lint(["--config", str(path)]) == 0
    assert "warning: on AWS: the stack may have at most 500 resources" in capsys.readouterr().err
    path.write_text(writing(21, OBJECTS))
    assert lint(["--config", str(path)]) == 0
    assert "warning: on Google Cloud: roles/storage.objectCreator on project" in capsys.readouterr().err


LONGEST: Final = configured(
    f"  {'s' * 63}: {{bus: {{eventbridge: {{source: [a]}}}}}}\n"
    f"  {'b' * 63}: {{bus: {{bucket: files, events: [finalize]}}}}\n"
    f"  shop: {{auth: {{scheme: bearer, secret: {'k' * 63}}}}}\n"
)


def test_the_longest_names_that_a_prefix_and_a_source_may_have_are_within_the_limits() -> None:
    prefix = checked_stack("p" * 28, "ap-southeast-1").prefix
    most = {"QueueName": 80, "FunctionName": 64, "TableName": 255, "Name": 64}
    for each in walk(read_template(topology(LONGEST))):
        for key in most.keys() & each.keys():
            if "Fn::Sub" in to_json(each[key]):
                name = str(inside(each[key], "Fn::Sub")).replace("${Prefix}", prefix)
                assert len(name) <= most[key], name
    target = checked_target("p" * 30, "europe-west1", "p" * 20)
    most = {"service": 49, "account": 30, "topic": 255, "subscription": 255, "secret": 255, "database": 63}
    for resource in graph(replace(deployment(LONGEST), target=target)):
        assert len(resource.name) <= most.get(resource.kind, 10_000), resource.key


# The policies of a role


def secrets_of(stack: Stack) -> dict[str, list[str]]:
    """Return the secrets that receive may read, by the policy that allows it."""
    policies = {"ReceiveRole": objects_at(stack.resources["ReceiveRole"], "Properties", "Policies")[0]}
    policies |= stack.of_kind("IAM::ManagedPolicy")
    found = {
        name: [
            to_json(on)
            for each in objects(value_at(policy, "PolicyDocument", "Statement"))
            if each["Action"] == SECRET
            for on in objects(each["Resource"])
        ]
        for name, policy in policies.items()
    }
    return {name: secrets for name, secrets in found.items() if secrets}


def rendered(count: int) -> Stack:
    return stack_of(read_template(topology(posting(count))))


def test_a_few_secrets_are_in_the_roles_own_policy() -> None:
    assert secrets_of(rendered(40)).keys() == {"ReceiveRole"}


def test_of_many_secrets_each_is_allowed_once_and_each_policy_fits() -> None:
    stack = rendered(300)
    found = secrets_of(stack)
    names = sorted(found)
    assert names == [f"ReceivePolicy{number}" for number in range(1, MANAGED_POLICIES + 1)]
    assert len({each for group in found.values() for each in group}) == sum(map(len, found.values())) == 300
    role = mapping_at(stack.resources["ReceiveRole"], "Properties")
    assert role["ManagedPolicyArns"] == [{"Ref": name} for name in names]
    assert characters(role["Policies"]) < INLINE_CHARACTERS


def test_a_further_secret_moves_no_other_to_another_policy() -> None:
    before, after = secrets_of(rendered(200)), secrets_of(rendered(201))
    assert all(set(group) <= set(after[name]) for name, group in before.items())
