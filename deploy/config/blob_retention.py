"""Retention of the blobs that a deployment stores for large events."""

from functions.notify.retry import JITTER
from shared.jsontext import JsonObject
from shared.retention import DAY_SECONDS, Retention


def retries_seconds(notify: JsonObject) -> float:
    """Return how long the longest schedule of retries in notify's slice may take, with a day for its last attempt."""
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    waits = [each.get("retry_seconds") for each in destinations.values() if isinstance(each, dict)]
    sums = [sum(wait for wait in each if isinstance(wait, int | float)) for each in waits if isinstance(each, list)]
    return max((seconds * (1 + JITTER) + DAY_SECONDS for seconds in sums), default=0.0)


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """Return how long a replay, a retry or a dead letter's replay may still need a body that is too large for a bus."""
    return max(retention.bodies_seconds, retention.dead_letters_seconds, retries_seconds(notify))
