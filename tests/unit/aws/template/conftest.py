"""The template of a configuration."""

import pytest

from tests.unit.aws.rendered import Stack, stack_of, template


@pytest.fixture(scope="module")
def stack() -> Stack:
    return stack_of(template())
