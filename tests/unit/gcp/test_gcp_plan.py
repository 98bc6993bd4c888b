"""Plans as data: what is made, in which order, by which command lines."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.compiler import FUNCTIONS
from deploy.config.config_file import ConfigFaults
from deploy.gcp.apply import PROJECT_NUMBER, script
from deploy.gcp.graph import graph
from deploy.gcp.iam_bindings import account_member
from deploy.gcp.plan import NOTHING, plan, unneeded_binding_removals
from deploy.gcp.resource import Existing, Grant, Resource
from deploy.gcp.resources.services import joined
from tests.gcloud.flags import faults, known_commands
from tests.gcp.description import Description
from tests.unit.gcp.planned import ASKING, BUSES, CONFIG, DEVELOP, SUBSCRIBERS, TARGET, by_key, deployment, flag


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    return by_key(graph(deployment()))


def arguments_of(resources: tuple[Resource, ...]) -> list[tuple[str, ...]]:
    return [command.arguments for each in resources for command in (*each.create, *each.update)]


def test_whatever_a_thing_needs_is_made_before_it() -> None:
    resources = graph(deployment())
    seen: set[str] = set()
    for resource in resources:
        assert seen.issuperset(resource.needs), f"{resource.key} comes before {set(resource.needs) - seen}"
        seen.add(resource.key)
    assert len(seen) == len(resources)


@pytest.mark.parametrize("config", [SUBSCRIBERS, DEVELOP, BUSES])
def test_every_command_line_is_one_that_gcloud_takes(inputs_folder: Path, config: str) -> None:
    known = known_commands(inputs_folder)
    mail = {"SMTP_URL": "smtp://me@example.com", "EMAIL_FROM": "a@b.co, c"}
    lines = arguments_of(graph(deployment(config, mail)))
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
    ours = account_member(TARGET, "notify")
    stale = Grant("secret", "hookchain-old", "roles/secretmanager.secretAccessor", ours)
    granted = [stale, Grant("project", "my-project", "roles/owner", "user:me@example.com")]
    [action] = unneeded_binding_removals(granted, graph(deployment()), TARGET)
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


def test_a_sweep_that_fails_or_writes_nothing_any_more_is_an_alarm(resources: dict[str, Resource]) -> None:
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


def test_what_notify_did_with_deliveries_is_counted_by_destination_and_outcome(resources: dict[str, Resource]) -> None:
    content = json.loads(resources["metric hookchain-deliveries"].files[0].content)
    assert content["labelExtractors"] == {
        "destination": "EXTRACT(jsonPayload.destination)",
        "outcome": "EXTRACT(jsonPayload.outcome)",
    }
    assert [each["key"] for each in content["metricDescriptor"]["labels"]] == ["destination", "outcome"]
    assert 'resource.labels.service_name="hookchain-notify"' in content["filter"]
    assert '"deferred"' in content["filter"]
    assert '"finished"' not in content["filter"], "a copy of a message is no delivery"


def test_a_sweep_that_fails_each_minute_is_enough_for_an_alert(resources: dict[str, Resource]) -> None:
    [file] = resources["alert hookchain-errors"].files
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
def test_monitoring_is_written_as_googles_description_says(kind: str, api: str, version: str, schema: str) -> None:
    description = Description(api, version)
    written = [json.loads(file.content) for each in graph(deployment()) if each.kind == kind for file in each.files]
    assert written
    assert not [fault for each in written for fault in description.faults(each, schema)]


def test_the_durations_of_attempts_are_a_distribution_for_each_destination(resources: dict[str, Resource]) -> None:
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


SCALED = """
google_cloud:
  receive: {min_instances: 1, max_instances: 50, ingress: internal-and-cloud-load-balancing}
  transform: {memory: 2Gi, ingress: all}
  notify: {concurrency: 10, vpc: {network: default, subnet: functions, egress: all-traffic}}
"""


def test_the_configuration_says_how_each_function_runs_on_cloud_run() -> None:
    usual, scaled = (by_key(graph(deployment(config))) for config in (CONFIG, CONFIG + SCALED))
    names = ("min-instances", "max-instances", "memory", "concurrency", "ingress")

    def settings(resources: dict[str, Resource], function: str) -> list[str]:
        return [flag(resources[f"service hookchain-{function}"], name) for name in names]

    assert settings(usual, "receive") == ["0", "20", "512Mi", "80", "all"]
    assert settings(usual, "notify") == ["0", "20", "512Mi", "40", "internal"]
    assert settings(scaled, "receive") == ["1", "50", "512Mi", "80", "internal-and-cloud-load-balancing"]
    assert settings(scaled, "notify") == ["0", "20", "512Mi", "10", "internal"]
    network = [flag(scaled["service hookchain-notify"], name) for name in ("network", "subnet", "vpc-egress")]
    assert network == ["default", "functions", "all-traffic"]
    assert "--invoker-iam-check" in scaled["service hookchain-transform"].create[0].arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{receive: {min_instances: 5, max_instances: 2}}", "min_instances: must not exceed max_instances"),
        ("{transform: {vpc: {egress: all-traffic}}}", "vpc: must name a network or a subnet"),
        ("{transform: {vpc: {network: 'default --allow-unauthenticated'}}}", "network"),
    ],
)
def test_a_setting_that_cloud_run_cannot_have_is_a_fault_of_the_configuration(settings: str, message: str) -> None:
    with pytest.raises(ConfigFaults, match=message):
        deployment(f"{CONFIG}\ngoogle_cloud: {settings}\n")


@pytest.mark.parametrize("function", ["transform", "notify"])
def test_a_private_function_knows_the_account_that_pushes_to_it(resources: dict[str, Resource], function: str) -> None:
    subscription = "hookchain-events-transform" if function == "transform" else "hookchain-deliveries-notify"
    pushed = resources[f"subscription {subscription}"]
    variables = flag(resources[f"service hookchain-{function}"], "set-env-vars")
    assert f"HOOKCHAIN_PUSH_ACCOUNT={flag(pushed, 'push-auth-service-account')}" in variables
    assert f"HOOKCHAIN_PUSH_AUDIENCE={flag(pushed, 'push-auth-token-audience')}" in variables
    assert "HOOKCHAIN_INVOKER_CHECK=cloud-run" in variables
    assert "HOOKCHAIN_PUSH" not in flag(resources["service hookchain-receive"], "set-env-vars")


def test_receive_may_publish_events_read_its_secrets_and_write_blobs_and_nothing_more() -> None:
    member = "serviceAccount:hookchain-receive@my-project.iam.gserviceaccount.com"
    found = {each.name for each in graph(deployment()) if each.kind == "grant" and f"to {member}" in each.name}
    assert found == {
        f"roles/pubsub.publisher on topic hookchain-events to {member}",
        f"roles/secretmanager.secretAccessor on secret hookchain-shop-key to {member}",
        f"roles/secretmanager.secretAccessor on secret hookchain-signup-password to {member}",
        f"roles/storage.objectCreator on bucket my-project-hookchain-blobs to {member}",
    }


def test_each_push_subscription_gives_up_into_dead_letters_with_both_grants(resources: dict[str, Resource]) -> None:
    agent = "serviceAccount:service-123@gcp-sa-pubsub.iam.gserviceaccount.com"
    for name in ("hookchain-events-transform", "hookchain-deliveries-notify"):
        assert flag(resources[f"subscription {name}"], "dead-letter-topic") == "hookchain-dead-letters"
        assert f"grant roles/pubsub.subscriber on subscription {name} to {agent}" in resources
    assert f"grant roles/pubsub.publisher on topic hookchain-dead-letters to {agent}" in resources
    keeper = resources["subscription hookchain-dead-letters-notify"]
    assert not [text for text in keeper.create[0].arguments if "dead-letter-topic" in text]
    assert flag(resources["subscription hookchain-dead-letters-hold"], "message-retention-duration") == "31d"


def test_a_message_is_not_pushed_again_while_its_function_may_still_work_on_it(resources: dict[str, Resource]) -> None:
    for name, function in (("events-transform", "transform"), ("deliveries-notify", "notify")):
        timeout = int(flag(resources[f"service hookchain-{function}"], "timeout"))
        assert int(flag(resources[f"subscription hookchain-{name}"], "ack-deadline")) > timeout
    assert int(flag(resources["service hookchain-notify"], "timeout")) >= 45 + 30, "the slowest destination, and more"


def test_pushes_go_to_the_functions_with_tokens_made_out_to_them(resources: dict[str, Resource]) -> None:
    notify = "https://hookchain-notify-123.europe-west1.run.app"
    pushed = {name: flag(resources[f"subscription hookchain-{name}"], "push-endpoint") for name in
              ("events-transform", "deliveries-notify", "dead-letters-notify")}  # fmt: skip
    assert pushed == {
        "events-transform": "https://hookchain-transform-123.europe-west1.run.app/",
        "deliveries-notify": f"{notify}/",
        "dead-letters-notify": f"{notify}/dead-letters",
    }
    keeper = resources["subscription hookchain-dead-letters-notify"]
    assert flag(keeper, "push-auth-token-audience") == notify
    assert flag(keeper, "push-auth-service-account") == "hookchain-push@my-project.iam.gserviceaccount.com"
    assert flag(resources["job hookchain-sweep"], "uri") == f"{notify}/sweep"
    assert flag(resources["job hookchain-sweep"], "oidc-token-audience") == notify


def test_only_receive_is_public(resources: dict[str, Resource]) -> None:
    output = {name: resources[f"service hookchain-{name}"].create[0].arguments for name in FUNCTIONS}
    access = re.compile("--(no-)?(invoker|ingress|allow)")
    schemes = {name: [text for text in arguments if access.match(text)] for name, arguments in output.items()}
    private = ["--invoker-iam-check", "--no-allow-unauthenticated", "--ingress=internal"]
    assert schemes == {
        "receive": ["--no-invoker-iam-check", "--ingress=all"],
        "transform": private,
        "notify": private,
    }


def test_subscribers_have_a_public_function_with_few_rights(resources: dict[str, Resource]) -> None:
    wanted = by_key(graph(deployment(SUBSCRIBERS)))
    service = wanted["service hookchain-subscribe"]
    assert {"--no-invoker-iam-check", "--ingress=all", "--timeout=30"} <= set(service.create[0].arguments)
    assert flag(service, "set-secrets") == "/secrets/subscribers-key/value=hookchain-subscribers-key:latest"
    assert "HOOKCHAIN_FIRESTORE=hookchain" in flag(service, "set-env-vars")
    assert service.update_needs == ("service hookchain-notify",)
    member = " to serviceAccount:hookchain-subscribe@my-project.iam.gserviceaccount.com"
    granted = {key.removeprefix("grant ").partition(member)[0] for key in wanted if member in key}
    assert granted == {
        "roles/datastore.user on project my-project",
        "roles/pubsub.publisher on topic hookchain-deliveries",
        "roles/secretmanager.secretAccessor on secret hookchain-subscribers-key",
        "roles/storage.objectViewer on bucket my-project-hookchain-blobs",
    }
    [database] = [each for key, each in wanted.items() if key.startswith("grant roles/datastore") and member in key]
    assert database.why == "subscribe reads and writes documents, ledger, grants, in this database only"
    added = {key.partition(" ")[0] for key in wanted.keys() - resources.keys()} - {"exemption", "expiry"}
    assert added == {"account", "grant", "secret", "service", "value"}


def test_where_a_route_may_wait_notify_may_publish_events_and_still_comes_before_transform(
    resources: dict[str, Resource],
) -> None:
    wanted = by_key(graph(deployment(ASKING)))
    notify = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
    key = f"grant roles/pubsub.publisher on topic hookchain-events to {notify}"
    assert wanted.keys() - resources.keys() == {key}
    assert wanted[key].why == "notify publishes events again, for routes that waited"
    assert key in wanted["service hookchain-notify"].needs
    assert wanted["service hookchain-notify"].update_needs == ()
    assert wanted["service hookchain-transform"].update_needs == ("service hookchain-notify",)


def test_secrets_are_mounted_for_receive_and_only_readable_for_the_others() -> None:
    resources = by_key(graph(deployment(environ={"SMTP_URL": "smtp://me@example.com:587"})))
    assert flag(resources["service hookchain-receive"], "set-secrets") == (
        "/secrets/shop-key/value=hookchain-shop-key:latest,"
        "/secrets/signup-password/value=hookchain-signup-password:latest"
    )
    for name in ("transform", "notify"):
        assert "--clear-secrets" in resources[f"service hookchain-{name}"].create[0].arguments
    assert "secret hookchain-smtp-password" in resources
    assert "secret hookchain-sendgrid-api-key" not in resources, "mail goes by SMTP"
    variables = flag(resources["service hookchain-notify"], "set-env-vars")
    assert "SMTP_URL=smtp://me@example.com:587" in variables
    assert "SMTP_URL" not in flag(resources["service hookchain-receive"], "set-env-vars")


def test_large_bodies_are_kept_as_long_as_a_dead_letter_may_be_replayed(resources: dict[str, Resource]) -> None:
    """A replay after 12 hours, retries for up to 13 days, and then a dead letter for 45 days."""
    [file] = resources["bucket my-project-hookchain-blobs"].files
    assert json.loads(file.content)["rule"][0]["condition"] == {"age": 59}


def test_nobody_can_make_the_bucket_public_and_it_keeps_nothing_deleted(resources: dict[str, Resource]) -> None:
    made, brought = resources["bucket my-project-hookchain-blobs"].create
    closed = {"--uniform-bucket-level-access", "--public-access-prevention", "--soft-delete-duration=0"}
    assert closed <= set(made.arguments)
    assert closed <= set(brought.arguments)


def test_values_with_commas_stand_between_other_separators() -> None:
    assert joined({"A": "1", "B": "2"}) == "A=1,B=2"
    assert joined({"A": "1,2", "B": "x@@y"}) == "^##^A=1,2##B=x@@y"


def test_with_telemetry_for_google_cloud_transform_and_notify_may_send_spans(resources: dict[str, Resource]) -> None:
    accounts = [
        f"serviceAccount:hookchain-{name}@my-project.iam.gserviceaccount.com" for name in ("transform", "notify")
    ]
    roles = ("roles/telemetry.tracesWriter", "roles/serviceusage.serviceUsageConsumer")
    wanted = {f"grant {role} on project my-project to {account}" for account in accounts for role in roles}
    google, aws = (
        by_key(graph(deployment(f"{CONFIG}telemetry: {cloud}\n"))).keys() for cloud in ("google_cloud", "aws")
    )
    counted = "metric hookchain-rejected"
    assert google - resources.keys() == {"api telemetry.googleapis.com", counted, *wanted}
    assert aws - resources.keys() == {counted}


def test_cloud_sql_is_connected_to_notify_alone_and_it_may_reach_no_other_database() -> None:
    place = "driver: postgresql, database: d, user: u, password_secret: orders-password"
    mapping = "table: orders, columns: {name: data.name}"
    place = f"{place}, {mapping}"
    row = f"sql: {{cloud_sql: 'my-project:europe-west1:shop', {place}}}"
    usual, resources = (
        by_key(graph(deployment(config)))
        for config in (CONFIG, CONFIG.replace("destinations:", f"destinations:\n  orders: {{{row}}}", 1))
    )
    assert flag(resources["service hookchain-notify"], "set-cloudsql-instances") == "my-project:europe-west1:shop"
    assert "--clear-cloudsql-instances" in usual["service hookchain-notify"].create[0].arguments
    assert "cloudsql" not in " ".join(resources["service hookchain-transform"].create[0].arguments)
    added = {key for key in resources.keys() - usual.keys() if "orders-password" not in key}
    only = 'resource.name == "projects/my-project/instances/shop"'
    member = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
    assert added == {
        "api sqladmin.googleapis.com",
        f"grant roles/cloudsql.client on project my-project to {member} if {only}",
    }
