"""The times that senders sign: how each is written, and how old a signature may be."""

import re
from datetime import UTC, datetime
from typing import Final

from shared import times
from shared.errors import Rejected

TOLERANCE_SECONDS: Final = 300
"""The default of how far a signed time may be in the past or in the future."""

# Patterns that are compiled at their first use, since few sources need more than one.
_TIMESTAMP: Final = r"[0-9]{1,12}"
_MILLISECONDS: Final = r"[0-9]{1,15}"
_RFC3339: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:]{8}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
_HTTP_DATE: Final = (
    r"[A-Z][a-z]{2},? ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:GMT|UTC)"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME_RULES: Final = {
    "s": "a whole number of Unix seconds",
    "ms": "a whole number of Unix milliseconds",
    "rfc3339": "an RFC 3339 time",
    "http-date": "an HTTP date",
}


def verify_timestamp(text: str | None, now: float, tolerance_seconds: float, unit: str = "s") -> float:
    """Return the signed time in Unix seconds, if it is within the tolerance, past or future.

    `unit` is s, ms, rfc3339 or http-date. Raises Rejected (`timestamp_out_of_range`), also for None, which means that
    the request has no time.
    """
    signed_at = None if text is None else _seconds(text, unit)
    if signed_at is None:
        raise Rejected("timestamp_out_of_range", f"the signed timestamp is not {_TIME_RULES[unit]}")
    verify_age(signed_at, now, tolerance_seconds)
    return signed_at


def verify_age(signed_at: float, now: float, tolerance_seconds: float) -> None:
    """Raise Rejected (`timestamp_out_of_range`) if the time is further away than the tolerance, past or future."""
    age = now - signed_at
    if age > tolerance_seconds:
        raise Rejected("timestamp_out_of_range", f"signed {age:.0f} s ago; the limit is {tolerance_seconds:.0f} s")
    if age < -tolerance_seconds:
        raise Rejected(
            "timestamp_out_of_range", f"signed {-age:.0f} s in the future; the limit is {tolerance_seconds:.0f} s"
        )


def timestamp_text(at: float, unit: str) -> str:
    """Write a time in Unix seconds as a sender does. `unit` is s, ms, rfc3339 or http-date."""
    match unit:
        case "ms":
            return str(int(at * 1000))
        case "rfc3339":
            return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
        case "http-date":
            day = datetime.fromtimestamp(int(at), UTC)
            names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
            return f"{names[day.weekday()]}, {day:%d} {_MONTHS[day.month - 1]} {day:%Y %H:%M:%S} GMT"
    return str(int(at))


def _seconds(text: str, unit: str) -> float | None:
    """Return the time in Unix seconds; None for a text that is not a time in this unit."""
    if unit == "s":
        return int(text) if re.fullmatch(_TIMESTAMP, text) else None
    if unit == "ms":
        return int(text) / 1000 if re.fullmatch(_MILLISECONDS, text) else None
    try:
        if unit == "rfc3339":
            return times.unix_seconds(text.upper()) if re.fullmatch(_RFC3339, text) else None
        date = re.fullmatch(_HTTP_DATE, text)
        return _http_date(*date.groups()) if date else None
    except (ValueError, OverflowError):
        return None


def _http_date(day: str, month: str, year: str, *time: str) -> float:
    hour, minute, second = map(int, time)
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC).timestamp()
