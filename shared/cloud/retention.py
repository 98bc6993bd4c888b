"""How long what was kept stays: the operator's `retention`, as the slices have it."""

from dataclasses import dataclass
from typing import Final

from shared.jsontext import JsonObject

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """`bodies`: after it an event's way can still be seen, and what it said cannot; it cannot be replayed either."""

    events_seconds: float = 30 * DAY_SECONDS
    bodies_seconds: float = 7 * DAY_SECONDS
    dead_letters_seconds: float = 45 * DAY_SECONDS


def retries_seconds(notify: JsonObject) -> float:
    """How long the most patient destination of notify's slice may still want an event, with a day for its last try."""
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    waits = [each.get("retry_seconds") for each in destinations.values() if isinstance(each, dict)]
    sums = [sum(wait for wait in each if isinstance(wait, int | float)) for each in waits if isinstance(each, list)]
    return max((seconds + DAY_SECONDS for seconds in sums), default=0.0)


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """How long a body that is too large for a bus may be asked for: by a replay, a retry, or a dead letter's replay."""
    return max(retention.bodies_seconds, retention.dead_letters_seconds, retries_seconds(notify))


def retention_of(compiled: JsonObject) -> Retention:
    """From a slice; the defaults where it says nothing."""
    written = compiled.get("retention")
    if not isinstance(written, dict):
        return Retention()
    return Retention(**{name: float(value) for name, value in written.items() if isinstance(value, int | float)})
