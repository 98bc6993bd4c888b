"""The tools of the local Lambda."""

import pytest

from deploy.dev.aws.environments import AwsTools, ToolsMissing, find_tools


@pytest.fixture
def tools() -> AwsTools:
    try:
        return find_tools()
    except ToolsMissing as missing:
        pytest.skip(str(missing))
