"""A moment as a person types it."""

import re
from typing import Final

from shared.times import unix_seconds

_AGO: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str, now: float) -> float:
    """`90s`, `5m`, `1h` or `2d` before now, or an RFC 3339 time. Raises ValueError."""
    if ago := _AGO.fullmatch(text):
        return now - float(ago[1]) * _UNIT_SECONDS[ago[2]]
    try:
        return unix_seconds(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a time is `1h` or `2d` ago, or such as 2026-03-01T12:00:00Z; found {text!r}") from error
