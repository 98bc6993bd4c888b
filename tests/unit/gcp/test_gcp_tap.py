"""The tap of `develop` on Google Cloud: what a deployment makes for developers, what they may do, and that it goes."""

from pathlib import Path

from deploy.gcp.apply import Applying
from deploy.gcp.graph import graph
from tests.gcloud.world import World
from tests.unit.gcp.applied import CONFIG, TARGET, VALUES, Asked, Noted, deploy, deployment as applied, removed
from tests.unit.gcp.planned import DEVELOP, by_key, deployment

PROJECT = "project my-project"
DATABASE = 'resource.name == "projects/my-project/databases/hookchain-tap"'
COPIES = 'resource.name.startsWith("projects/_/buckets/my-project-hookchain-blobs/objects/tap-")'


def test_only_a_tap_has_a_topic_a_database_and_an_account_with_rights_on_copies_and_leases() -> None:
    found, without = by_key(graph(deployment(DEVELOP))), by_key(graph(deployment()))
    transform, developer = (
        f"serviceAccount:hookchain-{name}@my-project.iam.gserviceaccount.com" for name in ("transform", "developer")
    )
    assert found.keys() - without.keys() == {
        "topic hookchain-tap",
        "database hookchain-tap",
        "account hookchain-developer",
        f"grant roles/pubsub.publisher on topic hookchain-tap to {transform}",
        f"grant roles/pubsub.subscriber on topic hookchain-tap to {developer}",
        f"grant roles/datastore.user on {PROJECT} to {transform} if {DATABASE}",
        f"grant roles/datastore.user on {PROJECT} to {developer} if {DATABASE}",
        f"grant roles/storage.objectViewer on {PROJECT} to {developer} if {COPIES}",
    }


def test_a_tap_that_is_gone_takes_its_topic_account_and_rights_along(tmp_path: Path) -> None:
    world = World()
    config = f"{CONFIG}develop: {{sources: [shop]}}"
    assert deploy(world, applied(tmp_path, config=config))[0] is None
    assert {"hookchain-tap"} <= world.things["topic"].keys() & world.things["database"].keys()
    assert deploy(world, applied(tmp_path, config=config))[1].done == []
    failure, noted = deploy(world, applied(tmp_path, config=CONFIG))
    assert failure is None
    assert {"delete topic hookchain-tap", "delete account hookchain-developer"} <= {*noted.done}
    assert "hookchain-developer" not in str(world.policies)


def test_a_tap_goes_with_everything_else_of_a_deployment(tmp_path: Path) -> None:
    world = World()
    deploy(world, applied(tmp_path, config=f"{CONFIG}develop: {{sources: [shop]}}"))
    Applying(Asked(world), TARGET, VALUES, Noted(), 1).apply(removed(world, everything=True).actions)
    left = {kind: [*things] for kind, things in world.things.items() if kind in ("topic", "database", "account")}
    assert not any(left.values()), left
