"""Times: Unix seconds inside, RFC 3339 in UTC on the wire."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() + 1.0


def rfc3339(unix_seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00.250Z`: UTC, milliseconds. Raises ValueError or OverflowError."""
    second = unix_seconds // 1
    microseconds = round((unix_seconds - second) * 1_000_000)
    if microseconds == 1_000_000:
        second, microseconds = second + 1, 0
    return f"{_to_the_second(second)}.{microseconds // 1000:03}Z"


def time_text(unix_seconds: float | None) -> str | None:
    """Return the time as `rfc3339` does; None where there is none."""
    return None if unix_seconds is None else rfc3339(unix_seconds)


@lru_cache(maxsize=8)
def _to_the_second(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()[:19]


def unix_seconds(text: str) -> float:
    """Read an RFC 3339 time. Raises ValueError unless the text is one with a zone that `rfc3339` can write."""
    seconds = read_time(text).timestamp()
    if not _FIRST <= seconds < _END:  # a zone can move the first and the last day out of the years that UTC has
        raise ValueError(f"the time {text!r} is not in the years 1 to 9999 of UTC")
    return seconds


def duration_text(seconds: float) -> str:
    """Return `5 s`, `30 min` or `1 d`: the largest unit of which it is a whole number."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:,.3f}".rstrip("0").rstrip(".") + " s"


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time. Raises ValueError unless the text is one with a zone."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; add Z or an offset")
    return when
