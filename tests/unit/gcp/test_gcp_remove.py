"""Removing a deployment: what stays, and that it can be done again."""

from pathlib import Path

from deploy.gcp.apply import Applying
from deploy.gcp.graph import graph
from deploy.gcp.plan import changes
from tests.gcloud_world import World
from tests.unit.gcp.applied import TARGET, Asked, Noted, deploy, deployment, removed


def test_removing_keeps_secrets_and_dead_letters_and_where_they_rest(tmp_path: Path) -> None:
    world = World()
    deploy(world, deployment(tmp_path))
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


def test_a_bundle_comes_back_after_it_was_removed(tmp_path: Path, finished: tuple[object, int]) -> None:
    world = World()
    deploy(world, deployment(tmp_path))
    Applying(Asked(world), TARGET, {}, Noted(), 1).apply(removed(world).actions)
    assert deploy(world, deployment(tmp_path))[0] is None
    assert changes(Asked(world), TARGET, graph(deployment(tmp_path))) == ()


def test_whichever_removal_fails_the_second_run_removes_the_rest(tmp_path: Path) -> None:
    world = World()
    deploy(world, deployment(tmp_path))
    whole = world.things, world.policies
    steps = len(removed(world, everything=True).actions)
    for step in range(0, steps, 3):
        things = {kind: {name: {**thing} for name, thing in each.items()} for kind, each in whole[0].items()}
        broken = World(things=things, policies={key: [*policy] for key, policy in whole[1].items()}, fail_at=step)
        assert Applying(Asked(broken), TARGET, {}, Noted(), 1).apply(removed(broken, everything=True).actions)
        assert Applying(Asked(broken), TARGET, {}, Noted(), 1).apply(removed(broken, everything=True).actions) is None
        assert removed(broken, everything=True).actions == ()
