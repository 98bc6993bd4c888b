"""Times in the ways that people and programs write them."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Final
from zoneinfo import ZoneInfo

_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):?([0-5][0-9])")
_UNIX: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,9})?")
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A larger number of seconds would be past the year 5138."""


class TimeFault(ValueError):
    """Its words go on from the name of a place."""


def zone_of(name: str) -> tzinfo:
    """`UTC`, `+02:00`, or a name such as `Europe/Berlin`. Raises ValueError."""
    if name in {"UTC", "Z"}:
        return UTC
    if found := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"there is no time zone {name!r}; write one such as Europe/Berlin, UTC or +02:00") from error


def time_of(text: str, formats: tuple[str, ...], zone: tzinfo | None) -> datetime:
    """Aware. Without `formats`: RFC 3339 and ISO 8601, mail's form (RFC 5322), and Unix seconds or milliseconds.

    Raises TimeFault for what is no time, or has no zone where none is given.
    """
    text = text.strip()
    try:
        found = _by_formats(text, formats) if formats else _by_habit(text)
        if found.tzinfo is None:
            if zone is None:
                raise TimeFault("has no zone; say `zone`")
            found = found.replace(tzinfo=zone)
        return found.astimezone(UTC)
    except TimeFault:
        raise
    except (ValueError, OverflowError, OSError) as error:
        raise TimeFault("is a time that no calendar has") from error


def _by_formats(text: str, formats: tuple[str, ...]) -> datetime:
    for form in formats:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise TimeFault("is in none of the formats")


def _by_habit(text: str) -> datetime:
    if _UNIX.fullmatch(text):
        number = float(text)
        seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
        return datetime.fromtimestamp(seconds, UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise TimeFault("is no time in a form that is known; say `formats`") from error
