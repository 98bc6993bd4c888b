"""Quiet hours: the time of the day in which nothing is sent, and when it ends. Pure.

They follow the clock on the wall. So from 22:00 to 07:00 are nine hours, eight in the night in which clocks are set
forward, and ten in the night in which they are set back.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MINUTES: Final = 24 * 60


class QuietHours(NamedTuple):
    """The time of the day in which nothing is sent: from `begin` to `end`, in minutes since midnight.

    It is a time in `timezone`; if this is None, in the recipient's time zone, or in UTC if that is unknown.
    """

    begin: int
    end: int
    timezone: str | None


def quiet_end(hours: QuietHours, at: float, timezone: str | None = None) -> float | None:
    """Return the end of the quiet hours that apply at this time, in Unix seconds; None if no quiet hours apply.

    `timezone` is the recipient's. If the clock is set forward over their end, they end at that moment. If it is set
    back, they last an hour longer, and begin again if it shows a time within them again.
    """
    zone = zone_of(hours.timezone or timezone)
    if not _is_quiet(hours, at, zone):
        return None
    end = at
    while _is_quiet(hours, end, zone):
        usual_end = end + _seconds_to_end(hours, end, zone)
        # If the clock changes before that, go on from the change: the time that it shows then may be quiet, or not.
        end = _clock_change(end, usual_end, zone) or usual_end
    return end


def _clock_change(begin: float, end: float, zone: ZoneInfo) -> float | None:
    """Return when the clock of the zone is set forward or back between `begin` and `end`; None if it is not.

    The moment is found by halving the time from `begin` to `end`.
    """
    offset = datetime.fromtimestamp(begin, zone).utcoffset()
    if datetime.fromtimestamp(end, zone).utcoffset() == offset:
        return None
    while end - begin > 0.5:  # a clock changes at a whole second
        middle = (begin + end) / 2
        is_changed = datetime.fromtimestamp(middle, zone).utcoffset() != offset
        begin, end = (begin, middle) if is_changed else (middle, end)
    return float(round(end))


def _is_quiet(hours: QuietHours, at: float, zone: ZoneInfo) -> bool:
    local_time = datetime.fromtimestamp(at, zone)
    minute = local_time.hour * 60 + local_time.minute
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end  # they last over midnight


def _seconds_to_end(hours: QuietHours, at: float, zone: ZoneInfo) -> float:
    """Return the time to the next end of the quiet hours, more than 0, if the clock of the zone does not change."""
    local_time = datetime.fromtimestamp(at, zone)
    minutes_left = (hours.end - local_time.hour * 60 - local_time.minute) % DAY_MINUTES or DAY_MINUTES
    return minutes_left * 60 - local_time.second - local_time.microsecond / 1e6


@lru_cache(maxsize=1_000)
def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone. Return UTC without a name, and if this system does not have that zone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
