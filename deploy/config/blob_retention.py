"""Retention of the blobs that a deployment stores for large events.

A bucket deletes by age alone, so its age is the longest need: an event is replayed at the end of `bodies`, its route
waits for a step's longest schedule and its delivery for a destination's, and the dead letter that follows is kept for
`dead_letters`. A replay writes a large body again, which begins its age again. A delivery that is held or paused for
longer than that has no such limit.
"""

from functions.notify.retry import JITTER, MAX_ASKED_SECONDS
from shared.jsontext import JsonObject
from shared.retention import DAY_SECONDS, Retention


def retries_seconds(notify: JsonObject) -> float:
    """Return how long the longest schedule of retries in notify's slice may take, with a day for its last attempt.

    A destination may ask for a longer wait before each attempt.
    """
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    waits = [each.get("retry_seconds") for each in destinations.values() if isinstance(each, dict)]
    schedules = [[wait for wait in each if isinstance(wait, int | float)] for each in waits if isinstance(each, list)]
    longest = max((sum(max(wait, MAX_ASKED_SECONDS) for wait in each) for each in schedules), default=0.0)
    return longest * (1 + JITTER) + DAY_SECONDS if schedules else 0.0


def waits_seconds(notify: JsonObject) -> float:
    """Return how long a route may wait for a system that its steps ask, with a day for its last try."""
    waits = notify.get("waiting_routes")
    longest = waits.get("longest_seconds") if isinstance(waits, dict) else None
    return longest * (1 + JITTER) + DAY_SECONDS if isinstance(longest, int | float) else 0.0


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """Return how long a replay, a retry or a dead letter's replay may still need a body that is too large for a bus."""
    retries = waits_seconds(notify) + retries_seconds(notify)
    return retention.bodies_seconds + retries + retention.dead_letters_seconds
