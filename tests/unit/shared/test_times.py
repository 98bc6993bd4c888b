from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from shared.times import duration_text, rfc3339, unix_seconds


@given(st.floats(-6e10, 2.5e11) | st.integers(0, 2_000_000_000_000).map(lambda milliseconds: milliseconds / 1000))
def test_a_time_is_written_as_the_standard_library_writes_it(unix_seconds: float) -> None:
    when = datetime.fromtimestamp(unix_seconds, UTC)
    assert rfc3339(unix_seconds) == when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("unix_seconds", [float("nan"), float("inf"), 1e12, -1e12, 1e17, 1e300])
def test_what_is_no_time_raises(unix_seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        rfc3339(unix_seconds)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_that_cannot_be_written_in_utc_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not in the years 1 to 9999 of UTC"):
        unix_seconds(text)
    last = "9999-12-31T23:59:59.500Z"
    assert rfc3339(unix_seconds(last)) == last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.25, "0.25 s"), (1 / 3, "0.333 s"), (5.0, "5 s"), (90, "90 s"), (600.0, "10 min"), (1800.0, "30 min")),
        *((5400, "90 min"), (86_400, "1 d"), (1_800_001.0, "1,800,001 s"), (0, "0 s")),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
