"""What is there is compared with the plan, setting by setting: what differs is shown, and set back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.gcp_deployment import changed_settings
from deploy.gcp.apply import script
from deploy.gcp.drift import FILE_FIELDS, FLAGS, Setting, differences, planned_flags, settings_of
from deploy.gcp.graph import graph
from deploy.gcp.plan import Action, changes
from deploy.gcp.resources.monitoring import ALERT, METRIC
from deploy.terminal.command_line import CommandError
from shared.jsontext import Json
from tests.gcloud.shown import SHOWN, Thing
from tests.gcloud.world import World
from tests.gcp.description import Description
from tests.unit.gcp.applied import TARGET, Asked, deploy, deployment

ONLY_THERE: Final = frozenset(
    {"api", "agent", "grant", "secret", "value", "repository", "expiry", "exemption", "dashboard"}
)
"""What only has to be there, and a dashboard, whose widgets are the operator's to arrange."""
Change = Callable[[Thing], object]


def planned(world: World, tmp_path: Path) -> tuple[Action, ...]:
    return changes(Asked(world), TARGET, graph(deployment(tmp_path)))


def without(*flags: str) -> Change:
    return lambda thing: [thing.pop(flag) for flag in flags]


def with_value(flag: str, value: object) -> Change:
    return lambda thing: thing.update({flag: value})


def made_public(service: Thing) -> None:
    service.pop("--invoker-iam-check")
    service["--no-invoker-iam-check"] = ""


def deafened(alert: Thing) -> None:
    alert["conditions"][0]["conditionThreshold"]["thresholdValue"] = 1_000_000  # type: ignore[index] # a policy


PUSH: Final = ("--push-endpoint", "--push-auth-service-account", "--push-auth-token-audience")
OWN: Final = "GOOGLE_CLOUD_PROJECT=my-project,HOOKCHAIN_PREFIX=hookchain-,HOOKCHAIN_BUCKET=other"
ENV: Final = f"{OWN},TOKEN=sesame,FUNCTION_TARGET=receive"


@pytest.mark.parametrize(
    ("key", "change", "shown"),
    [
        ("subscription hookchain-events-transform", without(*PUSH), "push-endpoint is not set, planned https://"),
        (
            "subscription hookchain-deliveries-notify",
            without("--dead-letter-topic", "--max-delivery-attempts"),
            "dead-letter-topic is not set, planned hookchain-dead-letters",
        ),
        ("topic hookchain-events", without("--message-storage-policy-allowed-regions"), "planned europe-west1"),
        ("service hookchain-notify", made_public, "invoker-iam-check is false, planned true"),
        ("service hookchain-transform", with_value("--ingress", "all"), "ingress is all, planned internal"),
        ("service hookchain-receive", without("--set-secrets"), "set-secrets is {}, planned /secrets/shop-key"),
        ("bucket my-project-hookchain-blobs", without("--lifecycle-file"), "lifecycle-file is not set, planned"),
        ("database hookchain", without("--delete-protection"), "delete-protection is false, planned true"),
        ("job hookchain-sweep", with_value("--schedule", "0 * * * *"), "schedule is 0 * * * *, planned * * * * *"),
        ("metric hookchain-sweeps", with_value("filter", "severity>=ERROR"), "filter is severity>=ERROR"),
        ("account hookchain-notify", with_value("disabled", True), "enabled is false, planned true"),
        ("alert number-of-hookchain-errors", deafened, "conditions is [{"),
    ],
)
def test_a_setting_that_somebody_changed_is_shown_and_set_back(
    key: str, change: Change, shown: str, world: World, tmp_path: Path
) -> None:
    before = world.state
    kind, _, name = key.partition(" ")
    change(world.things[kind][name])
    [action] = planned(world, tmp_path)
    assert (action.verb, action.kind, action.name) == ("update", kind, name.removeprefix("number-of-"))
    assert any(shown in each for each in action.differences), action.differences
    assert any(shown in line for line in script([action], TARGET)), "as a live plan prints it"
    assert any(line.startswith(f"  {kind} ") and shown in line for line in changed_settings([action]))
    assert deploy(world, deployment(tmp_path))[0] is None
    assert world.state == before
    assert planned(world, tmp_path) == ()


def test_the_values_of_variables_are_shown_nowhere(world: World, tmp_path: Path) -> None:
    world.things["service"]["hookchain-receive"]["--set-env-vars"] = ENV
    [action] = planned(world, tmp_path)
    assert action.differences == ("set-env-vars: HOOKCHAIN_BUCKET has another value, TOKEN is not planned",)
    assert "FUNCTION_TARGET" not in action.differences[0], "Google's own"
    assert "sesame" not in "\n".join(script([action], TARGET))


def test_a_line_break_in_a_live_value_ends_no_comment_of_a_pasted_plan(world: World, tmp_path: Path) -> None:
    world.things["metric"]["hookchain-sweeps"]["filter"] = "x\nrm -rf ~"
    [action] = planned(world, tmp_path)
    assert action.differences[0].startswith("filter is x rm -rf ~, planned")
    assert not [line for line in script([action], TARGET) if line.startswith("rm")]


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_what_somebody_opened_to_everybody_is_closed_again(member: str, world: World, tmp_path: Path) -> None:
    before = world.state
    world.policies["service hookchain-notify"].append(["roles/run.invoker", member, ""])
    theirs = world.policies.setdefault("bucket run-sources-my-project-europe-west1", [])
    theirs.append(["roles/storage.objectViewer", member, ""])
    [action] = planned(world, tmp_path)
    assert (action.verb, action.name) == ("delete", f"roles/run.invoker on service hookchain-notify to {member}")
    assert deploy(world, deployment(tmp_path))[0] is None
    theirs.clear()
    assert world.state == before


def test_what_an_update_closes_by_itself_is_no_failure(world: World, tmp_path: Path) -> None:
    before = world.state
    world.policies["service hookchain-notify"].append(["roles/run.invoker", "allUsers", ""])
    world.things["service"]["hookchain-notify"]["--concurrency"] = "7"
    assert [action.verb for action in planned(world, tmp_path)] == ["update", "delete"]
    assert deploy(world, deployment(tmp_path))[0] is None
    assert world.state == before


def test_what_no_update_can_change_is_rejected_and_not_thrown_away(world: World, tmp_path: Path) -> None:
    world.things["subscription"]["hookchain-events-transform"]["--topic"] = "_deleted-topic_"
    changed = world.changes
    with pytest.raises(
        CommandError, match="topic is projects/my-project/topics/_deleted-topic_, planned hookchain-events"
    ):
        deploy(world, deployment(tmp_path))
    assert world.changes == changed


def test_an_alert_is_updated_without_touching_what_the_operator_chose(world: World, tmp_path: Path) -> None:
    alert = world.things["alert"]["number-of-hookchain-errors"]
    chosen: Thing = {
        "notificationChannels": ["projects/p/notificationChannels/1"],
        "enabled": False,
        "severity": "WARNING",
    }
    alert.update(chosen)
    alert["userLabels"]["team"] = "shop"  # type: ignore[index] # labels
    alert["conditions"][0]["name"] = "projects/p/alertPolicies/7/conditions/8"  # type: ignore[index] # a list
    assert planned(world, tmp_path) == ()
    deafened(alert)
    assert deploy(world, deployment(tmp_path))[0] is None
    alert = world.things["alert"]["number-of-hookchain-errors"]
    assert alert.items() >= chosen.items()
    assert alert["userLabels"].items() >= {"team": "shop", "hookchain": "hookchain"}.items()  # type: ignore[attr-defined] # labels
    condition = alert["conditions"][0]  # type: ignore[index] # a list
    assert (condition["name"][-1], condition["conditionThreshold"]["thresholdValue"]) == ("8", 5)


def test_sources_of_others_in_the_same_bucket_expire_as_they_did(world: World, tmp_path: Path) -> None:
    bucket = world.things["bucket"]["run-sources-my-project-europe-west1"]
    theirs = {"action": {"type": "Delete"}, "condition": {"age": 3, "matchesPrefix": ["services/theirs/"]}}
    bucket["--lifecycle-file"] = {"rule": [theirs]}
    deploy(world, deployment(tmp_path))
    [first, ours] = bucket["--lifecycle-file"]["rule"]  # type: ignore[index] # a lifecycle
    assert first == theirs
    assert "services/hookchain-receive/" in ours["condition"]["matchesPrefix"]
    assert "services/theirs/" not in ours["condition"]["matchesPrefix"]


def test_every_flag_that_a_plan_sets_is_compared_or_has_its_reason(tmp_path: Path) -> None:
    for resource in graph(deployment(tmp_path)):
        if resource.kind in ONLY_THERE:
            assert settings_of(resource) == ()
        elif resource.kind == ALERT:
            assert {each.name for each in settings_of(resource)} == {*FILE_FIELDS[ALERT]}
            assert {*json.loads(resource.files[0].content)} == {*FILE_FIELDS[ALERT], "displayName", "userLabels"}
        elif resource.kind == METRIC:
            assert {each.name for each in settings_of(resource)} >= {"description", "filter"}
        else:
            assert {*planned_flags(resource)} <= {*FLAGS[resource.kind]}, resource.key


@pytest.mark.parametrize(
    ("kind", "api", "version", "schema"),
    [
        ("topic", "pubsub", "v1", "Topic"),
        ("subscription", "pubsub", "v1", "Subscription"),
        ("service", "run", "v1", "Service"),
        ("job", "cloudscheduler", "v1", "Job"),
        ("database", "firestore", "v1", "GoogleFirestoreAdminV1Database"),
        ("account", "iam", "v1", "ServiceAccount"),
        ("alert", "monitoring", "v3", "AlertPolicy"),
        ("metric", "logging", "v2", "LogMetric"),
    ],
)
def test_live_settings_are_read_from_fields_that_google_describes(
    kind: str, api: str, version: str, schema: str, world: World
) -> None:
    """The fake describes things in Google's own fields, and each setting was found in them."""
    description = Description(api, version)
    shown = json.loads(json.dumps([SHOWN[kind](name, thing) for name, thing in world.things[kind].items()]))
    assert shown
    assert not [fault for each in shown for fault in description.faults(each, schema)]


@pytest.mark.parametrize(
    ("form", "planned", "live"),
    [
        ("duration", "7d", "604800s"),
        ("duration", "never", {}),
        ("quantity", "1", "1000m"),
        ("name", "topic", "projects/p/topics/topic"),
        ("text", "true", "True"),
        ("variables", "^@@^A=1,2@@B=x", [{"name": "B", "value": "x"}, {"name": "A", "value": "1,2"}]),
        ("inside", "default", '[{"network":"projects/p/global/networks/default"}]'),
        ("document", {"a": 0, "b": [], "c": [1]}, {"c": [1], "d": 2}),
    ],
)
def test_two_ways_to_write_one_value_are_no_difference(form: str, planned: Json, live: Json) -> None:
    setting = Setting("x", "x", planned, "x", form)  # type: ignore[arg-type] # one of the forms
    assert differences((setting,), {"x": live}) == ()
    assert differences((setting,), {}) != ()
