"""A small Google Cloud with a deployment that is finished."""

from copy import deepcopy

import pytest

from tests.gcloud.world import World
from tests.unit.gcp.applied import deploy, deployment


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The end of a deployment that nothing disturbed."""
    world = World()
    failure, _ = deploy(world, deployment(tmp_path_factory.mktemp("finished")))
    assert failure is None
    return world


@pytest.fixture
def world(finished: World) -> World:
    """A copy of it, for a test to change."""
    return World(things=deepcopy(finished.things), policies=deepcopy(finished.policies), calls=[*finished.calls])
