"""Times: Unix seconds inside, RFC 3339 in UTC on the wire."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_AFTER_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() + 1.0
"""The first Unix second that Python's calendar does not have, and RFC 3339 neither."""
MILLISECONDS_FROM: Final = 100_000_000_000
"""From here on, a sender's Unix time counts milliseconds: as seconds, it would be in the year 5138 or later."""


def rfc3339(unix_seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00.250Z`, in UTC and with milliseconds.

    Raises ValueError or OverflowError for a time that is not in the years 1 to 9999.
    """
    second = unix_seconds // 1
    microseconds = round((unix_seconds - second) * 1_000_000)
    if microseconds == 1_000_000:
        second, microseconds = second + 1, 0
    return f"{_to_the_second(second)}.{microseconds // 1000:03}Z"


def time_text(unix_seconds: float | None) -> str | None:
    """Return the time as `rfc3339` does, or None for None."""
    return None if unix_seconds is None else rfc3339(unix_seconds)


@lru_cache(maxsize=8)
def _to_the_second(unix_seconds: float) -> str:
    try:
        return datetime.fromtimestamp(unix_seconds, UTC).isoformat()[:19]
    except OSError as error:  # the year is too large for C's calendar
        raise OverflowError(str(error)) from error


def unix_seconds(text: str) -> float:
    """Return the Unix seconds of an RFC 3339 time, such as `2026-03-01T12:00:00Z`.

    Raises ValueError if the text is not such a time, has no zone, or is a time that `rfc3339` cannot write.
    """
    seconds = read_time(text).timestamp()
    if not _FIRST <= seconds < _AFTER_LAST:  # a zone can move the first and the last day out of the years that UTC has
        raise ValueError(f"the time {text!r} is not in the years 1 to 9999 of UTC")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration such as `5 s`, `30 min` or `1 d`, in the largest unit in which it is a whole number."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:,.3f}".rstrip("0").rstrip(".") + " s"


def read_time(text: str) -> datetime:
    """Return the time that an RFC 3339 text stands for. Raises ValueError if it is not such a text, or has no zone."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; add Z or an offset")
    return when
