"""Sources and destinations on other systems' buses: what a deployment makes on Google Cloud, and what it may do."""

import json
from pathlib import Path
from typing import Final

import pytest

from deploy.cloud_access.gcp import GcloudFault
from deploy.gcp.apply import Applying
from deploy.gcp.graph import graph
from deploy.gcp.resource import Resource
from tests.gcloud.shown import Thing
from tests.gcloud.world import CommandLine, Refused, World
from tests.unit.gcp.applied import TARGET, VALUES, Asked, Noted, deploy, deployment as applied, removed
from tests.unit.gcp.planned import BUSES, by_key, deployment, flag

PLAIN: Final = "\n".join(
    line for line in BUSES.splitlines() if not line.startswith(("  orders", "  partner", "  uploads"))
)


def resources() -> dict[str, Resource]:
    return by_key(graph(deployment(BUSES)))


def a_world() -> World:
    """Return a project with the operator's topics and bucket."""
    topics: dict[str, Thing] = {name: {"labels": {}} for name in ("orders", "stream", "keyed", "parts")}
    bucket: Thing = {"--location": "eu", "labels": {}}
    return World(things={"topic": topics, "bucket": {"my-files": bucket}})


@pytest.mark.parametrize(
    ("source", "topic"),
    [
        ("orders", "projects/my-project/topics/orders"),
        ("partner", "projects/other-project/topics/parts"),
        ("uploads", "hookchain-bus-uploads"),
    ],
)
def test_a_source_gets_a_subscription_that_pushes_to_its_path_as_the_account_push(source: str, topic: str) -> None:
    found = resources()[f"subscription hookchain-bus-{source}"]
    url = "https://hookchain-receive-123.europe-west1.run.app"
    assert flag(found, "topic") == topic
    assert flag(found, "push-endpoint") == f"{url}/{source}"
    assert flag(found, "push-auth-token-audience") == url
    assert flag(found, "push-auth-service-account") == "hookchain-push@my-project.iam.gserviceaccount.com"
    assert flag(found, "dead-letter-topic") == "hookchain-dead-letters"


def test_no_topic_and_no_bucket_of_somebody_else_is_made() -> None:
    made = resources()
    own = ("dead-letters", "events", "deliveries", "bus-uploads")
    assert {key for key in made if key.startswith("topic ")} == {f"topic hookchain-{name}" for name in own}
    assert not [key for key in made if key.startswith("bucket ") and "my-files" in key]
    assert not [key for key in made if "bus-jobs" in key]


def test_receive_verifies_the_signature_of_a_push_itself_because_its_url_is_public() -> None:
    variables = flag(resources()["service hookchain-receive"], "set-env-vars")
    assert "HOOKCHAIN_PUSH_ACCOUNT=hookchain-push@" in variables
    assert "HOOKCHAIN_PUSH_AUDIENCE=https://hookchain-receive-123." in variables
    assert "HOOKCHAIN_INVOKER_CHECK" not in variables
    assert "HOOKCHAIN_PUSH" not in flag(by_key(graph(deployment()))["service hookchain-receive"], "set-env-vars")


def test_the_account_of_notify_may_publish_to_the_named_topic_of_the_project_and_to_no_other() -> None:
    publisher = [key for key in resources() if key.startswith("grant roles/pubsub.publisher")]
    notify = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
    assert f"grant roles/pubsub.publisher on topic stream to {notify}" in publisher
    assert not [key for key in publisher if "keyed" in key or "other-project" in key]


RECOVER: Final = """
sources:
  github: {provider: github, secret: github-secret, recover: {secret: read-token, repositories: acme/shop}}
routes: [{name: all, from: all, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""


def test_with_recovery_and_only_then_notify_may_read_the_token_and_publish_to_a_topic_that_receive_takes() -> None:
    found = by_key(graph(deployment(RECOVER)))
    without = by_key(graph(deployment(RECOVER.replace(", recover: {secret: read-token, repositories: acme/shop}", ""))))
    topic, push = "hookchain-bus-recovered-b7cf7d5d", "https://hookchain-receive-123.europe-west1.run.app"
    notify, receive = (f"serviceAccount:hookchain-{name}@my-project" for name in ("notify", "receive"))
    grants = [key.partition(".iam.")[0] for key in found.keys() - without.keys() if key.startswith("grant ")]
    assert {*grants} == {
        f"grant roles/pubsub.publisher on topic {topic} to {notify}",
        f"grant roles/pubsub.publisher on topic hookchain-dead-letters to {receive}",
        f"grant roles/pubsub.subscriber on subscription {topic} to serviceAccount:service-123@gcp-sa-pubsub",
        f"grant roles/secretmanager.secretAccessor on secret hookchain-read-token to {notify}",
    }
    subscription = found[f"subscription {topic}"]
    assert (flag(subscription, "topic"), flag(subscription, "push-endpoint")) == (topic, f"{push}/~recovered")
    assert "HOOKCHAIN_PUSH_AUDIENCE" in flag(found["service hookchain-receive"], "set-env-vars")
    assert "metric hookchain-recovered" in found.keys() - without.keys()


def test_a_bucket_gets_one_notification_even_if_gcloud_fails_after_it_was_made(tmp_path: Path) -> None:
    whole = a_world()
    deploy(whole, applied(tmp_path, config=BUSES))
    made = [call for call in whole.calls if call[-3:] and not {"list", "get-iam-policy", "describe"} & set(call)]
    step = next(number for number, call in enumerate(made) if "notifications" in call)
    world = a_world()
    world.fail_at, world.fails_late = step, True
    assert deploy(world, applied(tmp_path, config=BUSES))[0] is not None
    assert deploy(world, applied(tmp_path, config=BUSES))[0] is None
    assert world.state == whole.state


def test_a_source_that_is_gone_takes_its_subscription_along_as_its_messages_would_be_rejected(tmp_path: Path) -> None:
    world = a_world()
    deploy(world, applied(tmp_path, config=BUSES))
    failure, noted = deploy(world, applied(tmp_path, config=PLAIN))
    assert failure is None
    assert [each for each in world.things["subscription"] if "-bus-" in each] == []
    assert {"orders", "stream"} <= world.things["topic"].keys()
    assert "delete topic hookchain-bus-uploads" in noted.done


def members_on(world: World, topic: str) -> list[str]:
    return [member for binding in world.policies.get(f"topic {topic}", []) for member in binding if "@" in member]


def test_a_destination_that_is_gone_takes_its_right_on_a_topic_of_the_operator_along(tmp_path: Path) -> None:
    for is_destroyed in (False, True):
        world = a_world()
        deploy(world, applied(tmp_path, config=BUSES))
        assert any("hookchain-notify" in each for each in members_on(world, "stream"))
        if is_destroyed:
            Applying(Asked(world), TARGET, VALUES, Noted(), 1).apply(removed(world, everything=True).actions)
        else:
            config = BUSES.replace("own, ", "").replace("  own: {bus: {pubsub: projects/my-project/topics/stream}}", "")
            assert deploy(world, applied(tmp_path, config=config))[0] is None
        assert members_on(world, "stream") == []


def test_a_topic_of_somebody_else_whose_policy_may_not_be_read_stops_no_deployment(tmp_path: Path) -> None:
    class Denying(World):
        message = "PERMISSION_DENIED: User not authorized to perform this action."

        def _policy(self, command_line: CommandLine) -> object:
            if command_line.name == "parts":
                raise Refused(self.message)
            return super()._policy(command_line)

    world = Denying(things=a_world().things)
    assert deploy(world, applied(tmp_path, config=BUSES))[0] is None
    world.message = "the wire was cut"
    with pytest.raises(GcloudFault, match="the wire was cut"):
        deploy(world, applied(tmp_path, config=BUSES))


def test_a_source_has_an_alert_of_its_messages_that_goes_with_it(tmp_path: Path) -> None:
    world = a_world()
    deploy(world, applied(tmp_path, config=BUSES))
    alert = world.things["alert"]["number-of-hookchain-source-messages"]
    assert 'starts_with(\\"hookchain-bus-\\")' in json.dumps(alert)
    deploy(world, applied(tmp_path, config=PLAIN))
    assert "number-of-hookchain-source-messages" not in world.things["alert"]


def test_other_events_of_a_bucket_replace_its_notification(tmp_path: Path) -> None:
    world = a_world()
    deploy(world, applied(tmp_path, config=BUSES))
    deploy(world, applied(tmp_path, config=BUSES.replace("[finalize, delete]", "finalize")))
    [found] = world.things["notification"].values()
    assert found["--event-types"] == "OBJECT_FINALIZE"
