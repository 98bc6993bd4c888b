"""Plans as data: what is made, in which order, by which command lines."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.compiler import FUNCTIONS
from deploy.gcp.graph import graph, in_order
from deploy.gcp.iam_bindings import Grant
from deploy.gcp.plan import NOTHING, PROJECT_NUMBER, plan, script, superfluous_resources
from deploy.gcp.resource import Existing, Resource
from tests.discovery import faults_in
from tests.gcloud_flags import faults, known_commands
from tests.unit.gcp.planned import SUBSCRIBERS, TARGET, by_key, deployment, flag


def arguments_of(resources: tuple[Resource, ...]) -> list[tuple[str, ...]]:
    return [command.arguments for each in resources for command in (*each.create, *each.update)]


def test_whatever_a_thing_needs_is_made_before_it() -> None:
    resources = graph(deployment())
    seen: set[str] = set()
    for resource in resources:
        assert seen.issuperset(resource.needs), f"{resource.key} comes before {set(resource.needs) - seen}"
        seen.add(resource.key)
    assert len(seen) == len(resources)


def test_a_need_that_nobody_meets_is_a_fault() -> None:
    with pytest.raises(KeyError):
        in_order([Resource("topic", "a", "", (), needs=("topic b",))])


def test_every_command_line_is_one_that_gcloud_takes(inputs_folder: Path) -> None:
    known = known_commands(inputs_folder)
    mail = {"SMTP_URL": "smtp://me@example.com", "EMAIL_FROM": "a@b.co, c"}
    lines = arguments_of(graph(deployment(SUBSCRIBERS, mail)))
    assert not [fault for line in lines for fault in faults(line, known)]


def test_an_offline_plan_pasted_into_a_shell_runs_what_a_deployment_would() -> None:
    offline = replace(deployment(), project_number=PROJECT_NUMBER)
    gcloud = """gcloud() { [ "$1 $2" = "projects describe" ] && { echo 123; return; }; printf '%s\\n' "$@" --; }"""
    pasted = "\n".join([gcloud, *script(plan(graph(offline), NOTHING), TARGET)])
    ran = subprocess.run(["sh", "-eu", "-c", pasted], capture_output=True, text=True, check=True).stdout
    actions = plan(graph(deployment()), NOTHING)
    lines = [[*command.arguments, "--project=my-project"] for action in actions for command in action.commands]
    digest = re.compile(r"\b[0-9a-f]{16}\b")  # a URL with a placeholder has another digest
    assert digest.sub("", ran) == digest.sub("", "".join(f"{word}\n" for line in lines for word in [*line, "--"]))


def test_what_gclouds_parser_leaves_to_google_is_within_googles_bounds() -> None:
    for key, resource in by_key(graph(deployment())).items():
        if resource.kind == "subscription":
            days = int(flag(resource, "message-retention-duration").removesuffix("d"))
            assert 1 <= days <= 31, key
            if any(text.startswith("--push") for text in resource.create[0].arguments):
                assert 10 <= int(flag(resource, "ack-deadline")) <= 600, key
                assert 10 <= int(flag(resource, "min-retry-delay").removesuffix("s")) <= 600
                assert 10 <= int(flag(resource, "max-retry-delay").removesuffix("s")) <= 600
            if any(text.startswith("--dead-letter") for text in resource.create[0].arguments):
                assert 5 <= int(flag(resource, "max-delivery-attempts")) <= 100
        if resource.kind == "service":
            assert flag(resource, "base-image") == "python313"
            assert 1 <= int(flag(resource, "concurrency")) <= 1000
            assert 1 <= int(flag(resource, "timeout")) <= 3600
        if resource.kind == "job":
            assert 15 <= int(flag(resource, "attempt-deadline").removesuffix("s")) <= 1800
            assert len(flag(resource, "description")) <= 500
        if resource.kind == "account":
            assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", resource.name)
        for text in arguments_of((resource,))[0]:
            if text.startswith(("--labels=", "--update-labels=")):
                assert all(re.fullmatch(r"[a-z][a-z0-9_-]*=[a-z0-9_-]{1,63}", pair) for pair in labels(text))


def labels(text: str) -> list[str]:
    return text.partition("=")[2].split(",")


def test_only_roles_that_exist_are_given_and_each_on_one_thing() -> None:
    """Read in https://cloud.google.com/iam/docs/roles-permissions; on the whole project only two."""
    given = [each for each in graph(deployment()) if each.kind == "grant"]
    roles = {each.name.split()[0]: each.name.split()[2] for each in given}
    assert roles == {
        "roles/datastore.user": "project",
        "roles/iam.serviceAccountOpenIdTokenCreator": "account",
        "roles/pubsub.publisher": "topic",
        "roles/pubsub.subscriber": "subscription",
        "roles/run.builder": "project",
        "roles/run.invoker": "service",
        "roles/secretmanager.secretAccessor": "secret",
        "roles/storage.objectCreator": "bucket",
        "roles/storage.objectUser": "bucket",
    }
    on_the_database = [each.name for each in given if each.name.startswith("roles/datastore.user")]
    own = 'resource.name == "projects/my-project/databases/hookchain"'
    assert len(on_the_database) == 2
    assert all(name.endswith(f" if {own}") for name in on_the_database)


def test_nothing_is_planned_for_what_is_there_as_it_should_be() -> None:
    resources = graph(deployment())
    assert plan(resources, {each.key: Existing(each.digest) for each in resources}) == ()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_another_bundle_is_one_new_revision_and_nothing_else(function: str) -> None:
    existing = {each.key: Existing(each.digest) for each in graph(deployment())}
    actions = plan(graph(deployment(digests={function: "another"})), existing)
    assert [(action.verb, action.kind, action.name) for action in actions] == [
        ("update", "service", f"hookchain-{function}")
    ]


def test_a_function_is_updated_only_once_those_know_of_it_that_its_messages_go_to() -> None:
    resources = graph(deployment())
    there = {each.key: Existing("older" if each.kind == "service" else each.digest) for each in resources}
    found = {action.name: action for action in plan(resources, there)}
    assert list(found) == [f"hookchain-{name}" for name in reversed(FUNCTIONS)], "as the lines are printed, too"
    assert "service hookchain-transform" in found["hookchain-receive"].needs
    assert "service hookchain-notify" in found["hookchain-transform"].needs
    at_first = {action.name: action for action in plan(resources, NOTHING) if action.kind == "service"}
    assert not any("service" in need.split() for action in at_first.values() for need in action.needs)


def test_a_permission_that_nothing_needs_is_removed() -> None:
    ours = "serviceAccount:ours"
    stale = Grant("secret", "hookchain-old", "roles/secretmanager.secretAccessor", ours)
    granted = [stale, Grant("project", "my-project", "roles/owner", "user:me@example.com")]
    [action] = superfluous_resources(granted, graph(deployment()), {ours}, TARGET)
    [command] = action.commands
    assert (action.verb, action.name) == ("delete", stale.text)
    assert command.arguments[:3] == ("secrets", "remove-iam-policy-binding", "hookchain-old")
    assert f"--member={ours}" in command.arguments


def test_the_dashboard_and_the_alerts_name_what_the_plan_makes() -> None:
    resources = graph(deployment())
    made = {each.name for each in resources if each.kind in ("service", "subscription", "metric")}
    for file in (file for each in resources if each.kind in ("dashboard", "alert") for file in each.files):
        named = set(re.findall(r'["/](hookchain-[a-z-]+)\\"', file.content))
        assert named, file.path.name
        assert named <= made, file.path.name


def test_a_sweep_that_does_not_succeed_is_an_alarm_also_where_nothing_is_written_any_more() -> None:
    resources = by_key(graph(deployment()))
    [file] = resources["alert hookchain-sweep"].files
    [condition] = [each["conditionThreshold"] for each in json.loads(file.content)["conditions"]]
    assert (condition["comparison"], condition["thresholdValue"]) == ("COMPARISON_LT", 1)
    assert condition["evaluationMissingData"] == "EVALUATION_MISSING_DATA_ACTIVE"
    assert int(condition["duration"].removesuffix("s")) >= 60, "else Google ignores what is missing"
    assert "metric hookchain-sweeps" in resources["alert hookchain-sweep"].needs
    counted = json.loads(resources["metric hookchain-sweeps"].files[0].content)["filter"]
    assert 'service_name="hookchain-notify"' in counted
    assert 'requestUrl=~"/sweep$"' in counted
    assert "status>=200 AND httpRequest.status<300" in counted


def test_what_notify_did_with_deliveries_is_counted_by_destination_and_outcome() -> None:
    resources = by_key(graph(deployment()))
    content = json.loads(resources["metric hookchain-deliveries"].files[0].content)
    assert content["labelExtractors"] == {
        "destination": "EXTRACT(jsonPayload.destination)",
        "outcome": "EXTRACT(jsonPayload.outcome)",
    }
    assert [each["key"] for each in content["metricDescriptor"]["labels"]] == ["destination", "outcome"]
    assert 'resource.labels.service_name="hookchain-notify"' in content["filter"]
    assert '"deferred"' in content["filter"]
    assert '"finished"' not in content["filter"], "a copy of a message is no delivery"


def test_a_sweep_that_fails_each_minute_is_enough_for_an_alert() -> None:
    [file] = by_key(graph(deployment()))["alert hookchain-errors"].files
    [condition] = [each["conditionThreshold"] for each in json.loads(file.content)["conditions"]]
    [aggregation] = condition["aggregations"]
    assert aggregation["perSeriesAligner"] == "ALIGN_DELTA"
    minutes = int(aggregation["alignmentPeriod"].removesuffix("s")) / 60
    assert condition["thresholdValue"] < minutes
    assert condition["duration"] == "0s"


@pytest.mark.parametrize(
    ("kind", "api", "version", "schema"),
    [
        ("dashboard", "monitoring", "v1", "Dashboard"),
        ("alert", "monitoring", "v3", "AlertPolicy"),
        ("metric", "logging", "v2", "LogMetric"),
    ],
)
def test_what_is_monitored_is_written_as_googles_description_says(
    kind: str, api: str, version: str, schema: str
) -> None:
    cache = pytest.importorskip(
        "googleapiclient.discovery_cache", reason="pip install google-api-python-client: it describes the API"
    )
    schemas = json.loads(cache.get_static_doc(api, version))["schemas"]
    written = [json.loads(file.content) for each in graph(deployment()) if each.kind == kind for file in each.files]
    assert written
    assert not [fault for each in written for fault in faults_in(each, schemas[schema], schemas, kind)]


def test_the_durations_of_attempts_are_a_distribution_for_each_destination() -> None:
    resources = by_key(graph(deployment()))
    content = json.loads(resources["metric hookchain-attempts"].files[0].content)
    assert content["valueExtractor"] == "EXTRACT(jsonPayload.attempt_ms)"
    assert content["metricDescriptor"] | {"labels": []} == {
        "metricKind": "DELTA", "valueType": "DISTRIBUTION", "unit": "ms", "labels": [],
    }  # fmt: skip
    assert "jsonPayload.attempt_ms:*" in content["filter"]
    assert "outcome" not in content["filter"]


def test_roles_are_given_to_pubsubs_own_account_once_it_was_asked_for() -> None:
    resources = graph(deployment())
    agents = [each for each in resources if each.kind == "grant" and "gcp-sa-pubsub" in each.name]
    assert agents
    assert all("agent pubsub.googleapis.com" in each.needs for each in agents)
