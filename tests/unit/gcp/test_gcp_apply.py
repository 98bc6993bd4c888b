"""Plans carried out against a small Google Cloud: whatever fails and whenever, the same command ends it well."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cloud_access.gcp import PROPAGATION_WAITS_SECONDS, Answer, GcloudFault
from deploy.cloud_access.gcp_names import Target
from deploy.gcp.apply import Applying, Failure
from deploy.gcp.graph import graph
from deploy.gcp.live import project_number
from deploy.gcp.plan import Action, changes
from deploy.gcp.resource import Command
from deploy.terminal.command_line import CommandError
from tests.gcloud.flags import faults, known_commands
from tests.gcloud.world import World
from tests.unit.gcp.applied import CONFIG, TARGET, VALUES, Asked, Noted, deploy, deployment, removed


@pytest.mark.parametrize(
    "late",
    [pytest.param(False, id="before it is done", marks=pytest.mark.slow), pytest.param(True, id="after it was done")],
)
def test_whichever_step_fails_a_second_run_ends_in_the_same_state(late: bool, finished: World, tmp_path: Path) -> None:
    steps = finished.changes
    for step in range(steps):
        world = World(fail_at=step, fails_late=late)
        failure, _ = deploy(world, deployment(tmp_path))
        assert failure, f"step {step} of {steps} did not fail"
        assert "the wire was cut" in failure.message
        assert failure.line.startswith("gcloud ")
        assert world.changes == step + 1, "nothing was begun after the failure"
        failure, _ = deploy(world, deployment(tmp_path))
        assert failure is None, f"step {step} of {steps}: {failure}"
        assert world.state == finished.state, f"step {step} of {steps}"


def test_without_subscribers_their_function_goes_and_what_they_stored_stays(
    tmp_path: Path,
) -> None:
    with_them = CONFIG.replace("destinations: {", "destinations: {customers: {subscribers: {tenant: data.id}}, ")
    world = World()
    assert deploy(world, deployment(tmp_path, config=with_them + "subscribers: {}"))[0] is None
    failure, noted = deploy(world, deployment(tmp_path))
    assert failure is None
    assert {"delete service hookchain-subscribe", "delete account hookchain-subscribe"} <= set(noted.done)
    assert not [line for line in noted.done if line.startswith(("delete secret", "delete database"))]
    assert changes(Asked(world), TARGET, graph(deployment(tmp_path))) == ()


def test_side_by_side_ends_in_the_same_state(finished: World, tmp_path: Path) -> None:
    world = World()
    failure, _ = deploy(world, deployment(tmp_path), workers=4)
    assert failure is None
    assert world.state == finished.state


def test_every_question_to_gcloud_is_one_that_it_takes(world: World, inputs_folder: Path, tmp_path: Path) -> None:
    deploy(world, deployment(tmp_path, config=CONFIG.replace("shop-key", "other-key")))
    project_number(Asked(world), TARGET)
    runner, noted = Asked(world), Noted()
    Applying(runner, TARGET, {}, noted, 1).apply(removed(world, everything=True).actions)
    known = known_commands(inputs_folder)
    assert not {fault for call in world.calls for fault in faults(call, known)}
    assert {tuple(call[:2]) for call in world.calls} >= {("storage", "rm"), ("firestore", "databases")}


def test_the_count_of_rejected_requests_goes_with_telemetry_and_with_the_deployment(tmp_path: Path) -> None:
    world = World()
    config = f"{CONFIG}telemetry: google_cloud\n"
    assert deploy(world, deployment(tmp_path, config=config))[0] is None
    assert "hookchain-rejected" in world.things["metric"]
    assert "delete metric hookchain-rejected" in deploy(world, deployment(tmp_path))[1].done
    deploy(world, deployment(tmp_path, config=config))
    Applying(Asked(world), TARGET, VALUES, Noted(), 1).apply(removed(world, everything=True).actions)
    assert not world.things["metric"]


def test_changing_one_route_makes_one_revision_of_transform(world: World, tmp_path: Path) -> None:
    _, noted = deploy(world, deployment(tmp_path, {"transform": "with another route"}))
    assert noted.done == ["update service hookchain-transform"]


def test_a_function_that_went_back_to_an_older_revision_goes_on_with_the_newest(world: World, tmp_path: Path) -> None:
    older = {"revisionName": "hookchain-notify-00001-abc", "percent": 100}
    world.things["service"]["hookchain-notify"]["traffic"] = [older, {"latestRevision": True, "tag": "new"}]
    assert deploy(world, deployment(tmp_path))[1].done == ["update service hookchain-notify"]
    assert changes(Asked(world), TARGET, graph(deployment(tmp_path))) == ()


def test_what_somebody_removed_is_made_again(world: World, tmp_path: Path, finished: World) -> None:
    del world.things["subscription"]["hookchain-events-transform"]
    world.policies.pop("subscription hookchain-events-transform")
    world.policies["secret hookchain-shop-key"].clear()
    failure, noted = deploy(world, deployment(tmp_path))
    assert failure is None
    assert len(noted.done) == 3
    assert world.state == finished.state


def test_a_secret_that_is_no_longer_read_may_no_longer_be_read(world: World, tmp_path: Path) -> None:
    wanted = deployment(tmp_path, {"receive": "x"}, CONFIG.replace("{scheme: bearer, secret: shop-key}", "none"))
    assert deploy(world, wanted)[0] is None
    assert world.policies["secret hookchain-shop-key"] == []
    assert world.things["secret"]["hookchain-shop-key"], "its value is nobody's to throw away"
    assert changes(Asked(world), TARGET, graph(wanted)) == ()


def test_what_somebody_allowed_under_a_condition_of_their_own_is_left_to_them(world: World, tmp_path: Path) -> None:
    """gcloud takes a role away only by the whole condition, of which we know no title and no description."""
    member = "serviceAccount:hookchain-notify@my-project.iam.gserviceaccount.com"
    theirs = ["roles/cloudtrace.agent", member, 'request.time < timestamp("2030-01-01T00:00:00Z")', "for a while"]
    world.policies["project my-project"].append(theirs)
    assert changes(Asked(world), TARGET, graph(deployment(tmp_path))) == ()
    assert Applying(Asked(world), TARGET, {}, Noted(), 1).apply(removed(world, everything=True).actions) is None


def test_a_value_goes_to_standard_input_and_into_no_argument(world: World) -> None:
    assert world.things["secret"]["hookchain-shop-key"]["values"] == [VALUES["shop-key"]]
    assert not [call for call in world.calls if any(value in text for text in call for value in VALUES.values())]


def test_two_bundles_live_in_one_project_and_one_goes_without_the_other(world: World, tmp_path: Path) -> None:
    other = Target("my-project", prefix="hookchain-eu-")
    alone = world.state
    assert deploy(world, deployment(tmp_path, target=other))[0] is None
    gone = removed(world, everything=True, target=other)
    assert Applying(Asked(world), other, {}, Noted(), 1).apply(gone.actions) is None
    sources = world.things["bucket"]["run-sources-my-project-europe-west1"]["--lifecycle-file"]
    assert "services/hookchain-eu-notify/" in json.dumps(sources), "its sources still expire"
    assert deploy(world, deployment(tmp_path))[1].done == []
    rules = sources["rule"]  # type: ignore[index] # a lifecycle
    del rules[1]
    assert world.state == alone


def test_a_name_that_another_bundle_has_is_rejected_before_anything_is_made(world: World, tmp_path: Path) -> None:
    other = Target("my-project", prefix="hookchain-shop-")
    changed = world.changes
    config = CONFIG.replace("secret: shop-key", "secret: key")
    with pytest.raises(CommandError, match="secret hookchain-shop-key has the label of the deployment 'hookchain'"):
        deploy(world, deployment(tmp_path, config=config, target=other))
    assert world.changes == changed


@pytest.mark.parametrize("kind", ["database", "service"])
def test_what_had_such_a_name_before_a_bundle_is_left_alone(kind: str, tmp_path: Path, finished: World) -> None:
    name = {"database": "hookchain", "job": "hookchain-sweep"}.get(kind, "hookchain-notify")
    thing = {**finished.things[kind][name], "labels": {}}
    world = World(things={"api": finished.things["api"], kind: {name: thing}})
    with pytest.raises(CommandError, match=f"{kind} {name} exists, but no deployment 'hookchain'"):
        deploy(world, deployment(tmp_path))
    assert removed(world, everything=True).actions == ()
    assert world.changes == 0


def test_a_bundle_is_in_one_region(world: World, tmp_path: Path) -> None:
    changed = world.changes
    with pytest.raises(CommandError, match="deployment 'hookchain' is in europe-west1"):
        deploy(world, deployment(tmp_path, target=Target("my-project", "us-east1")))
    assert world.changes == changed
    assert deploy(world, deployment(tmp_path, target=Target("my-project", "us-east1", "other-")))[0] is None


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [("service", "hookchain-notify", {"ready": "False"}), ("job", "hookchain-sweep", {"state": "PAUSED"})],
)
def test_what_is_down_is_updated(world: World, kind: str, name: str, change: Mapping[str, str], tmp_path: Path) -> None:
    world.things[kind][name].update(change)
    assert deploy(world, deployment(tmp_path))[1].done == [f"update {kind} {name}"]


# What is tried again while Google does not know everywhere what was made


class Answers:
    """A runner that gives these answers in turn, the last of them for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, ...]] = []

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 0) -> Answer:
        self.calls.append(tuple(arguments))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def an_action(name: str, *needs: str) -> Action:
    return Action("create", "topic", name, "", (Command(("pubsub", "topics", "create", name)),), (name,), needs)


NOT_YET = Answer(1, "", "Service account hookchain-push@my-project.iam.gserviceaccount.com does not exist.")


@pytest.mark.parametrize(
    "stderr",
    [
        NOT_YET.stderr,
        "Permission 'iam.serviceaccounts.actAs' denied on service account x@y (or it may not exist).",
        "ABORTED: Please retry, underlying data changed",
        'NOT_FOUND: Cannot find metric(s) that match type = "run.googleapis.com/request_count".',
    ],
)
def test_what_google_does_not_know_everywhere_yet_is_tried_again(stderr: str) -> None:
    not_yet = Answer(1, "", stderr)
    runner, noted = Answers(not_yet, not_yet, Answer(0, "", "")), Noted()
    assert Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None).apply([an_action("a")]) is None
    assert noted.waited == list(PROPAGATION_WAITS_SECONDS[:2])


@pytest.mark.parametrize(
    "stderr",
    [
        "ERROR: (gcloud.run.services.remove-iam-policy-binding) Policy binding with the specified principal, role, and "
        "condition not found!",
        "ERROR: (gcloud.pubsub.subscriptions.delete) NOT_FOUND: Resource not found (resource=hookchain-x).",
    ],
)
def test_a_deletion_of_what_is_gone_is_done_at_once_and_a_creation_is_not(stderr: str) -> None:
    runner, noted = Answers(Answer(1, "", stderr)), Noted()
    applying = Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None)
    assert applying.apply([replace(an_action("a"), verb="delete")]) is None
    assert noted.waited == []
    assert applying.apply([an_action("a")]) is not None


def test_it_is_not_tried_for_ever() -> None:
    runner, noted = Answers(NOT_YET), Noted()
    failure = Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None).apply([an_action("a")])
    assert failure
    assert "does not exist" in failure.message
    assert len(runner.calls) == 1 + len(PROPAGATION_WAITS_SECONDS)


def test_a_try_that_said_no_and_did_it_is_done() -> None:
    runner = Answers(NOT_YET, Answer(1, "", "ALREADY_EXISTS: topic a"))
    assert Applying(runner, TARGET, {}, Noted(), 1, sleep=lambda _: None).apply([an_action("a")]) is None


def test_any_other_error_stops_at_once_with_the_line_to_try() -> None:
    runner = Answers(Answer(0, "", ""), Answer(1, "", "ERROR: no\n"))
    noted = Noted()
    failure = Applying(runner, TARGET, {}, noted, 1).apply([an_action("a"), an_action("b", "a"), an_action("c", "b")])
    assert failure == Failure(an_action("b", "a"), "gcloud pubsub topics create b --project=my-project", "ERROR: no")
    assert noted.done == ["create topic a"]


def test_a_project_that_is_not_there_is_reported_with_the_line_that_asked() -> None:
    runner = Answers(Answer(1, "", "ERROR: (gcloud.projects.describe) it may not exist"))
    with pytest.raises(GcloudFault, match="gcloud projects describe my-project"):
        project_number(runner, TARGET)


# Removing a deployment


def test_removing_keeps_secrets_and_dead_letters_and_where_they_rest(world: World) -> None:
    world.things["topic"]["somebody-elses"] = {}
    gone = removed(world)
    assert gone.remaining == (
        "bucket my-project-hookchain-blobs",
        "database hookchain",
        "secret hookchain-sendgrid-api-key",
        "secret hookchain-shop-key",
        "subscription hookchain-dead-letters-hold",
        "topic hookchain-dead-letters",
    )
    assert Applying(Asked(world), TARGET, {}, Noted(), 1).apply(gone.actions) is None
    left = {f"{kind} {name}" for kind, things in world.things.items() for name in things if kind not in _LEFT}
    of_builds = {"repository cloud-run-source-deploy", "bucket run-sources-my-project-europe-west1"}
    assert left == {*gone.remaining, "topic somebody-elses", *of_builds}
    assert not [policy for policy in world.policies.values() for entry in policy if "hookchain-" in entry[1]]


_LEFT = {"api", "agent", "expiry", "exemption"}


def test_a_bundle_comes_back_after_it_was_removed(world: World, tmp_path: Path) -> None:
    Applying(Asked(world), TARGET, {}, Noted(), 1).apply(removed(world).actions)
    assert deploy(world, deployment(tmp_path))[0] is None
    assert changes(Asked(world), TARGET, graph(deployment(tmp_path))) == ()


def test_whichever_removal_fails_the_second_run_removes_the_rest(world: World) -> None:
    whole = world.things, world.policies
    steps = len(removed(world, everything=True).actions)
    for step in range(0, steps, 3):
        things = {kind: {name: {**thing} for name, thing in each.items()} for kind, each in whole[0].items()}
        broken = World(things=things, policies={key: [*policy] for key, policy in whole[1].items()}, fail_at=step)
        assert Applying(Asked(broken), TARGET, {}, Noted(), 1).apply(removed(broken, everything=True).actions)
        assert Applying(Asked(broken), TARGET, {}, Noted(), 1).apply(removed(broken, everything=True).actions) is None
        assert removed(broken, everything=True).actions == ()
