"""Transform over fakes."""

import pytest

from tests.unit.transform.transform_bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
