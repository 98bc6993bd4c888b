"""The time of signing: whether it is at fault, and how its age is described."""

from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.cases import ANY_TIME_SECONDS, Case, SignedCase, holds
from shared import errors
from shared.signatures.auth_scheme import described
from shared.signatures.locations import RequestFields
from shared.signatures.signed_times import verify_timestamp

_UNIT_NAMES: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "rfc3339": "text such as 2026-03-01T12:00:00Z",
    "http-date": "text such as Sun, 01 Mar 2026 12:00:00 GMT",
}
"""The words for each unit of a time of signing."""
_A_YEAR: Final = 86_400 * 365
"""The seconds of a year. A time of signing that is further away is probably in another unit."""
_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60))
"""The units of an age, in seconds."""


def span(seconds: float) -> str:
    """Return a time such as `7 minutes`, in the largest unit of which there are at least two, rounded down."""
    for name, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}s"
    return f"{int(seconds)} second{'' if int(seconds) == 1 else 's'}"


def time_fault(case: SignedCase, now: float) -> str | None:
    """Return the cause if the time is at fault; else None."""
    text = timestamp_of(case)
    if case.auth.timestamp is None:
        return None
    if not text:
        return f"the request has no time of signing where this source expects one: {described(case.auth.timestamp)}"
    signed_at = _seconds(text, case.auth.unit, now)
    is_in_another_year = signed_at is None or abs(now - signed_at) > _A_YEAR
    if is_in_another_year and (cause := _in_another_unit(text, case, now)):
        return cause
    if signed_at is None:
        return "the time of signing is not written as this source expects it (`unit`)"
    age, limit = now - signed_at, case.auth.tolerance_seconds
    if abs(age) <= limit:
        return None
    age_text = f"signed {_span_beside(age, limit)}, the limit is {span(limit)}"
    if not holds(case):
        return f"{age_text}; and the signature is wrong too"
    if age < 0:
        return f"{age_text}: the signature is right, so the sender's clock or this machine's is wrong"
    return f"{age_text}: the signature is right, so an old request was sent again, or a clock is wrong"


def time_description(case: Case, now: float) -> str:
    """Describe the age of a valid signature; empty if it has no time."""
    if not isinstance(case, SignedCase):
        return ""
    text = timestamp_of(case)
    signed_at = _seconds(text, case.auth.unit, now) if text and case.auth.timestamp else None
    if signed_at is None:
        return ""
    limit = case.auth.tolerance_seconds
    return f"signed {_span_beside(now - signed_at, limit)}, the limit is {span(limit)}"


def _span_beside(age: float, limit: float) -> str:
    """Describe an age. It is in seconds if the text would otherwise be that of the limit."""
    size = abs(age)
    text = span(size) if span(size) != span(limit) else f"{size:.0f} seconds"
    return f"{text} ago" if age > 0 else f"{text} in the future"


def timestamp_of(case: SignedCase) -> str | None:
    """Return the time of signing as the sender wrote it; None if there is none."""
    location = case.auth.timestamp
    fields = RequestFields(case.request, case.url)
    if location is None or location.kind != "signature":
        return fields.text(location) if location else None
    try:
        return case.auth.signatures(fields).items.get(location.name)
    except errors.Rejected:
        return None


def _seconds(text: str, unit: str, now: float) -> float | None:
    """Return the time in Unix seconds; None for a text that is no time in this unit."""
    try:
        return verify_timestamp(text, now, ANY_TIME_SECONDS, unit)
    except errors.Rejected:
        return None


def _in_another_unit(text: str, case: SignedCase, now: float) -> str | None:
    """Return the cause if the text is a time of this year in another unit; else None."""
    for other, name in _UNIT_NAMES.items():
        signed_at = _seconds(text, other, now)
        if other == case.auth.unit or signed_at is None or abs(now - signed_at) >= _A_YEAR:
            continue
        expected_name = _UNIT_NAMES[case.auth.unit]
        rule = f"is in {name} where this source expects {expected_name}"
        is_right = holds(replace(case, auth=replace(case.auth, unit=other)))
        right = ", and the signature is right" if is_right else ""
        act = f"send it in {expected_name}, or set `unit: {other}` where the source has `scheme: hmac`"
        return f"the time of signing {rule}{right}: {act}"
    return None
