"""When a delivery that is to wait may go out: at the next digest, after a burst, or at the end of quiet hours. Pure."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from functions.notify.gathering.settings import GatherSettings, QuietHours

SPREAD_SECONDS: Final = 5.0
"""Members of a group are due at different times within so long: a sweep reads them page by page, by their time."""
SPREAD_SHARE: Final = 1 / 6
"""The longest part of a digest's `every` and a burst's `wait` that the spread takes."""
DAY_MINUTES: Final = 24 * 60


def gathered_until(settings: GatherSettings, now: float, timezone: str | None = None) -> float | None:
    """Return the time until which a delivery that comes now waits; None if it need not wait.

    `timezone` is the recipient's, a name of the IANA database.
    """
    until: float | None = None
    if settings.digest is not None:
        every = settings.digest.every_seconds
        until = (now // every + 1) * every
    elif settings.coalesce is not None:
        until = now + settings.coalesce.wait_seconds
    if settings.quiet_hours is not None:
        until = quiet_end(settings.quiet_hours, now if until is None else until, timezone) or until
    return until


def spread_seconds(settings: GatherSettings) -> float:
    """Return within how long after `gathered_until` all members of a group are due."""
    if settings.coalesce is not None:
        return min(SPREAD_SECONDS, settings.coalesce.wait_seconds * SPREAD_SHARE)
    return min(SPREAD_SECONDS, settings.digest.every_seconds * SPREAD_SHARE) if settings.digest else SPREAD_SECONDS


def spread_of(settings: GatherSettings, key: str) -> float:
    """Return the part of the spread that the delivery waits: the same each time, and seldom another's."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return spread_seconds(settings) * share


def quiet_end(hours: QuietHours, now: float, timezone: str | None = None) -> float | None:
    """Return the end of the quiet hours that apply now; None if none do.

    The clock on the wall counts: where it is set forward over the end, they end at that moment; where it is set back,
    they last an hour longer, and begin again if it shows a time within them again.
    """
    zone = zone_of(hours.timezone or timezone)
    if not _is_quiet(hours, now, zone):
        return None
    end = now
    while _is_quiet(hours, end, zone):
        end += _seconds_to_end(hours, end, zone)
    low, high = now, end
    if _wall_minute(high, zone) == hours.end:
        return high
    while high - low > 0.5:  # the clock was set forward on the way
        middle = (low + high) / 2
        low, high = (middle, high) if _is_quiet(hours, middle, zone) else (low, middle)
    return float(round(high))


def _is_quiet(hours: QuietHours, now: float, zone: ZoneInfo) -> bool:
    minute = _wall_minute(now, zone)
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end


def _wall_minute(now: float, zone: ZoneInfo) -> int:
    wall = datetime.fromtimestamp(now, zone)
    return wall.hour * 60 + wall.minute


def _seconds_to_end(hours: QuietHours, now: float, zone: ZoneInfo) -> float:
    wall = datetime.fromtimestamp(now, zone)
    minutes = (hours.end - wall.hour * 60 - wall.minute) % DAY_MINUTES or DAY_MINUTES
    return minutes * 60 - wall.second - wall.microsecond / 1e6


@lru_cache(maxsize=1_000)
def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone; UTC for none, and for one that this system does not know: people may come from a file."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
