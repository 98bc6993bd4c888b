"""The tools of the local Lambda."""

import pytest

from deploy.dev.aws.environments import AwsTools, find_tools
from deploy.terminal.command_line import CommandError


@pytest.fixture
def tools() -> AwsTools:
    try:
        return find_tools()
    except CommandError as missing:
        pytest.skip(str(missing))
