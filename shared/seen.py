"""The record of when a source was last seen, which transform writes and notify's sweep reads: a JSON object."""

from typing import Final

from shared.jsontext import JsonObject, from_json, texts_json
from shared.ports import Kept

SEEN_AT: Final = "seen_at"
KEPT_SECONDS: Final = 400 * 86_400.0
"""A record is forgotten after that long without a change; while its source is watched, it changes each hour."""


def seen_record(source: str) -> str:
    return f"seen:{source}"


def interval_seconds(after_seconds: float) -> float:
    """Return how far the record may be behind the source's last event: the record is written no more often."""
    return min(after_seconds / 10, 60.0)


def read_seen(text: str | None) -> JsonObject:
    """Read a record. What is none counts as an empty one, so that it is begun anew."""
    try:
        found = from_json(text.encode()) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def time_in(record: JsonObject, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None


def seen(text: str | None, at: float, interval: float, now: float) -> tuple[float, Kept | None]:
    """Return what the record says of the last event after one at this time, and its new text, if it is to change."""
    record = read_seen(text)
    last = time_in(record, SEEN_AT)
    if last is not None and at < last + interval:
        return last, None
    return at, kept_seen({**record, SEEN_AT: at}, now)


def kept_seen(record: JsonObject, now: float) -> Kept:
    return Kept(texts_json(record).decode(), now + KEPT_SECONDS)
