"""The planned functions, their permissions, secrets, pushes and stores."""

import json
import re

import pytest

from deploy.config.compiler import FUNCTIONS
from deploy.config.config_file import ConfigFaults
from deploy.gcp.graph import graph
from deploy.gcp.resource import Resource
from deploy.gcp.resources.services import joined
from tests.unit.gcp.planned import ASKING, CONFIG, SUBSCRIBERS, by_key, deployment, flag

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
def test_a_private_function_knows_the_account_that_pushes_to_it(function: str) -> None:
    resources = by_key(graph(deployment()))
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


def test_each_push_subscription_gives_up_into_dead_letters_with_both_grants() -> None:
    resources = by_key(graph(deployment()))
    agent = "serviceAccount:service-123@gcp-sa-pubsub.iam.gserviceaccount.com"
    for name in ("hookchain-events-transform", "hookchain-deliveries-notify"):
        assert flag(resources[f"subscription {name}"], "dead-letter-topic") == "hookchain-dead-letters"
        assert f"grant roles/pubsub.subscriber on subscription {name} to {agent}" in resources
    assert f"grant roles/pubsub.publisher on topic hookchain-dead-letters to {agent}" in resources
    keeper = resources["subscription hookchain-dead-letters-notify"]
    assert not [text for text in keeper.create[0].arguments if "dead-letter-topic" in text]
    assert flag(resources["subscription hookchain-dead-letters-hold"], "message-retention-duration") == "31d"


def test_a_message_is_not_pushed_again_while_its_function_may_still_work_on_it() -> None:
    resources = by_key(graph(deployment()))
    for name, function in (("events-transform", "transform"), ("deliveries-notify", "notify")):
        timeout = int(flag(resources[f"service hookchain-{function}"], "timeout"))
        assert int(flag(resources[f"subscription hookchain-{name}"], "ack-deadline")) > timeout
    assert int(flag(resources["service hookchain-notify"], "timeout")) >= 45 + 30, "the slowest destination, and more"


def test_pushes_go_to_the_functions_with_tokens_made_out_to_them() -> None:
    resources = by_key(graph(deployment()))
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


def test_only_receive_is_public() -> None:
    resources = by_key(graph(deployment()))
    output = {name: resources[f"service hookchain-{name}"].create[0].arguments for name in FUNCTIONS}
    access = re.compile("--(no-)?(invoker|ingress|allow)")
    schemes = {name: [text for text in arguments if access.match(text)] for name, arguments in output.items()}
    private = ["--invoker-iam-check", "--no-allow-unauthenticated", "--ingress=internal"]
    assert schemes == {
        "receive": ["--no-invoker-iam-check", "--ingress=all"],
        "transform": private,
        "notify": private,
    }


def test_subscribers_have_a_public_function_with_few_rights() -> None:
    usual, resources = by_key(graph(deployment())), by_key(graph(deployment(SUBSCRIBERS)))
    service = resources["service hookchain-subscribe"]
    assert {"--no-invoker-iam-check", "--ingress=all", "--timeout=30"} <= set(service.create[0].arguments)
    assert flag(service, "set-secrets") == "/secrets/subscribers-key/value=hookchain-subscribers-key:latest"
    assert "HOOKCHAIN_FIRESTORE=hookchain" in flag(service, "set-env-vars")
    assert service.update_needs == ("service hookchain-notify",)
    member = " to serviceAccount:hookchain-subscribe@my-project.iam.gserviceaccount.com"
    granted = {key.removeprefix("grant ").partition(member)[0] for key in resources if member in key}
    assert granted == {
        "roles/datastore.user on project my-project",
        "roles/pubsub.publisher on topic hookchain-deliveries",
        "roles/secretmanager.secretAccessor on secret hookchain-subscribers-key",
        "roles/storage.objectViewer on bucket my-project-hookchain-blobs",
    }
    added = {key.partition(" ")[0] for key in resources.keys() - usual.keys()} - {"exemption", "expiry"}
    assert added == {"account", "grant", "secret", "service", "value"}


def test_where_a_route_may_wait_notify_may_publish_events_and_still_comes_before_transform() -> None:
    usual, resources = by_key(graph(deployment())), by_key(graph(deployment(ASKING)))
    notify = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
    key = f"grant roles/pubsub.publisher on topic hookchain-events to {notify}"
    assert resources.keys() - usual.keys() == {key}
    assert resources[key].why == "notify publishes events again, for routes that waited"
    assert key in resources["service hookchain-notify"].needs
    assert resources["service hookchain-notify"].update_needs == ()
    assert resources["service hookchain-transform"].update_needs == ("service hookchain-notify",)


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


def test_no_command_line_holds_a_secrets_value() -> None:
    adding = [command for each in graph(deployment()) for command in each.create if command.secret]
    assert {command.secret for command in adding} == {"sendgrid-api-key", "shop-key", "signup-password"}
    assert all(command.arguments[-1] == "--data-file=-" for command in adding)


def test_large_bodies_are_kept_as_long_as_a_dead_letter_may_be_replayed() -> None:
    """A replay after 12 hours, retries for up to 13 days, and then a dead letter for 45 days."""
    [file] = by_key(graph(deployment()))["bucket my-project-hookchain-blobs"].files
    assert json.loads(file.content)["rule"][0]["condition"] == {"age": 59}


def test_the_bucket_can_be_made_public_by_nobody_and_keeps_nothing_that_was_deleted() -> None:
    made, brought = by_key(graph(deployment()))["bucket my-project-hookchain-blobs"].create
    closed = {"--uniform-bucket-level-access", "--public-access-prevention", "--soft-delete-duration=0"}
    assert closed <= set(made.arguments)
    assert closed <= set(brought.arguments)


def test_values_with_commas_stand_between_other_separators() -> None:
    assert joined({"A": "1", "B": "2"}) == "A=1,B=2"
    assert joined({"A": "1,2", "B": "x@@y"}) == "^##^A=1,2##B=x@@y"


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
