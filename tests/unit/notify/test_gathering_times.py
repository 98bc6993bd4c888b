"""When gathered deliveries may go out, also where clocks are set forward or back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.digests.settings import (
    Digest,
    GatherSettings,
    QuietHours,
    gathered_until,
    quiet_end,
)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Casablanca",
)
minutes = st.integers(0, 24 * 60 - 1)
moments = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2030, 1, 1, tzinfo=UTC).timestamp())
)


def wall(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone))


def is_quiet(hours: QuietHours, at: float, zone: str) -> bool:
    minute = wall(at, zone).hour * 60 + wall(at, zone).minute
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return not hours.end <= minute < hours.begin


def changes(zone: str, year: int) -> list[float]:
    """Return when the zone's offset changes in that year, to the minute."""
    found = []
    at = datetime(year, 1, 1, tzinfo=UTC).timestamp()
    while at < datetime(year + 1, 1, 1, tzinfo=UTC).timestamp():
        if wall(at, zone).utcoffset() != wall(at + 3_600, zone).utcoffset():
            found.append(
                next(
                    at + 60 * n
                    for n in range(61)
                    if wall(at + 60 * n, zone).utcoffset() == wall(at + 3_600, zone).utcoffset()
                )
            )
        at += 3_600
    return found


@given(moments, minutes, minutes, st.sampled_from(ZONES))
def test_quiet_hours_end_at_the_first_moment_that_is_not_quiet(now: int, begin: int, end: int, zone: str) -> None:
    if begin == end:
        return
    hours = QuietHours(begin, end, zone)
    until = quiet_end(hours, float(now))
    if not is_quiet(hours, now, zone):
        assert until is None
        return
    assert until is not None
    assert now < until <= now + 49 * 3_600  # a day was skipped at Apia
    assert not is_quiet(hours, until, zone)
    assert all(is_quiet(hours, at, zone) for at in range(now, int(until), 120))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("end", ["07:00", "02:30", "02:00", "03:00", "01:30"])
def test_they_are_right_across_both_changes_of_a_year(zone: str, end: str) -> None:
    hour, minute = map(int, end.split(":"))
    hours = QuietHours(22 * 60, hour * 60 + minute, zone)
    found = changes(zone, 2026)
    assert len(found) == 2
    for change in found:
        for hours_before in (0.25, 1, 2, 3.5):
            now = change - hours_before * 3_600
            if not is_quiet(hours, now, zone):
                continue
            until = quiet_end(hours, now)
            assert until is not None
            assert not is_quiet(hours, until, zone)
            assert is_quiet(hours, until - 1, zone)


def test_a_night_of_the_change_to_summer_time_is_an_hour_shorter() -> None:
    night = QuietHours(22 * 60, 7 * 60, "Europe/Berlin")
    evening = datetime(2026, 3, 28, 22, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert quiet_end(night, evening) == evening + 8 * 3_600
    evening = datetime(2026, 10, 24, 22, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert quiet_end(night, evening) == evening + 10 * 3_600


def test_the_recipients_time_zone_counts_where_the_destination_names_none() -> None:
    at_noon = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
    night = QuietHours(22 * 60, 7 * 60, None)
    assert quiet_end(night, at_noon) is None
    assert quiet_end(night, at_noon, "Asia/Tokyo") is None
    assert quiet_end(night, at_noon, "Australia/Sydney") == at_noon + timedelta(hours=8).total_seconds()
    assert quiet_end(night._replace(timezone="UTC"), at_noon, "Australia/Sydney") is None
    assert quiet_end(night, at_noon, "Nowhere/Land") is None


@given(st.floats(1e9, 2e9), st.sampled_from([1.0, 60.0, 900.0, 3_600.0, 86_400.0]))
def test_a_digest_is_due_at_the_next_multiple_of_its_interval(now: float, every: float) -> None:
    until = gathered_until(GatherSettings(digest=Digest(every, None)), now)
    assert until is not None
    assert now < until <= now + every
    assert until % every == 0
