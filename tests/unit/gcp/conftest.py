"""A deployment that is finished."""

import pytest

from tests.gcloud_world import World
from tests.unit.gcp.applied import deploy, deployment


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, int]:
    """The end of a deployment that nothing disturbed, and how many changes it took."""
    world = World()
    failure, _ = deploy(world, deployment(tmp_path_factory.mktemp("finished")))
    assert failure is None
    return world.state, world.changes
