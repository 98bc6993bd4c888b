"""What every implementation of the Clock port, and its fake, must do."""

from datetime import UTC, datetime

import pytest

from shared.cloud.platform import SystemClock
from shared.ports import Clock
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize("clock", [FakeClock(), SystemClock()])
def test_now_is_seconds_of_our_time_and_does_not_go_back(clock: Clock) -> None:
    first, second = clock.now(), clock.now()
    assert 2020 <= datetime.fromtimestamp(first, UTC).year < 2100
    assert first <= second
