"""The causes of a rejected timestamp."""

from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guesses import ANY_TIME_SECONDS, Case, SignedCase, holds
from shared.errors import Rejected
from shared.signatures.locations import RequestFields
from shared.signatures.timestamps import verify_timestamp

_UNITS: Final = (("day", 86_400), ("hour", 3600), ("minute", 60))
_A_YEAR: Final = 86_400 * 365
_OTHER_UNIT: Final = {"s": "ms", "ms": "s"}
_NAMES: Final = {"s": "seconds", "ms": "milliseconds"}


def span(seconds: float) -> str:
    """`7 minutes`: in the largest unit of which there are at least two, rounded down."""
    for name, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}s"
    return f"{int(seconds)} second{'' if int(seconds) == 1 else 's'}"


def mistimed(case: SignedCase, now: float) -> str | None:
    """Return the cause where the time is at fault; else None."""
    text = timestamp_of(case)
    if case.auth.timestamp is None:
        return None
    if not text:
        return "the request has no time of signing where this source expects one"
    signed_at = _seconds(text, case.auth.unit, now)
    if (signed_at is None or abs(now - signed_at) > _A_YEAR) and (cause := _in_another_unit(text, case, now)):
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
    """Describe the age of a valid signature; empty where it has no time."""
    if not isinstance(case, SignedCase):
        return ""
    text = timestamp_of(case)
    signed_at = _seconds(text, case.auth.unit, now) if text and case.auth.timestamp else None
    if signed_at is None:
        return ""
    limit = case.auth.tolerance_seconds
    return f"signed {_span_beside(now - signed_at, limit)}, the limit is {span(limit)}"


def _span_beside(age: float, limit: float) -> str:
    """Describe an age, in seconds where it would otherwise read the same as the limit."""
    size = abs(age)
    text = span(size) if span(size) != span(limit) else f"{size:.0f} seconds"
    return f"{text} ago" if age > 0 else f"{text} in the future"


def timestamp_of(case: SignedCase) -> str | None:
    location = case.auth.timestamp
    fields = RequestFields(case.request, case.url)
    if location is None or location.kind != "signature":
        return fields.text(location) if location else None
    try:
        return case.auth.signatures(fields).items.get(location.name)
    except Rejected:
        return None


def _seconds(text: str, unit: str, now: float) -> float | None:
    try:
        return verify_timestamp(text, now, ANY_TIME_SECONDS, unit)
    except Rejected:
        return None


def _in_another_unit(text: str, case: SignedCase, now: float) -> str | None:
    other = _OTHER_UNIT.get(case.auth.unit)
    at = _seconds(text, other, now) if other else None
    if other and at is not None and abs(now - at) < _A_YEAR:
        rule = f"is in {_NAMES[other]} where this source expects {_NAMES[case.auth.unit]}"
        right = ", and the signature is right" if holds(replace(case, auth=replace(case.auth, unit=other))) else ""
        act = f"send it in {_NAMES[case.auth.unit]}, or set `unit: {other}` where the source has an `auth` of its own"
        return f"the time of signing {rule}{right}: {act}"
    return None
