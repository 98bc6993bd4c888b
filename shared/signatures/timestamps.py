"""When a request was signed: not long ago, and not in the future."""

import re
from typing import Final

from shared.errors import Rejected

TOLERANCE_SECONDS: Final = 300

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


def verify_timestamp(text: str | None, now: float, tolerance_seconds: float) -> int:
    """The signed Unix time, once it is within the tolerance both ways. Raises Rejected (`ts`)."""
    if text is None or not _TIMESTAMP.fullmatch(text):
        raise Rejected("ts", "the signed timestamp is not a whole number of Unix seconds")
    age = now - int(text)
    if age > tolerance_seconds:
        raise Rejected("ts", f"signed {age:.0f} s ago; the limit is {tolerance_seconds:.0f} s")
    if age < -tolerance_seconds:
        raise Rejected("ts", f"signed {-age:.0f} s in the future; the limit is {tolerance_seconds:.0f} s")
    return int(text)
