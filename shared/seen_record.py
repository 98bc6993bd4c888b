"""The record of when a source was last seen: a JSON object that transform writes and notify's sweep reads."""

from typing import Final

SEEN_AT: Final = "seen_at"
"""The field that transform writes: Unix seconds. It leaves the others as they are."""
KEPT_SECONDS: Final = 400 * 86_400.0
"""A record is forgotten after that long without a change; while its source is watched, it changes each hour."""


def seen_record(source: str) -> str:
    return f"seen:{source}"
