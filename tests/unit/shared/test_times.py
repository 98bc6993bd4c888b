from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.times import rfc3339


@given(st.floats(-6e10, 2.5e11) | st.integers(0, 2_000_000_000_000).map(lambda milliseconds: milliseconds / 1000))
def test_a_time_is_written_as_the_standard_library_writes_it(unix_seconds: float) -> None:
    when = datetime.fromtimestamp(unix_seconds, UTC)
    assert rfc3339(unix_seconds) == when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("unix_seconds", [float("nan"), float("inf"), 1e12, -1e12, 1e300])
def test_what_is_no_time_raises(unix_seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        rfc3339(unix_seconds)
