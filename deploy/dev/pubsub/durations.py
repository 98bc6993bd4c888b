"""Durations as protobuf's JSON writes them: seconds with a decimal point and an `s`."""

import re
from typing import Final

from deploy.dev.pubsub.errors import invalid

_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")


def seconds_from(text: str, path: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found:
        raise invalid(f"Invalid value at '{path}': a duration is seconds with an 's', like \"3.5s\".")
    return float(found[1])


def duration_text(seconds: float) -> str:
    """`600s`, `0.500s`: whole seconds, else milliseconds."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds:.3f}s"
