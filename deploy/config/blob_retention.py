"""Retention of the blobs that a deployment stores for large events.

A bucket deletes by age alone, so its age is the longest need: an event is replayed at the end of `bodies`, its route
waits for a step's longest schedule and its delivery for a destination's, and the dead letter that follows is kept for
`dead_letters`. A replay writes a large body again, which begins its age again. A delivery that is held or paused for
longer than that has no such limit.
"""

import math
from typing import Final

from functions.notify.waiting.routes import LEAST_SECONDS, MAX_SHARE
from functions.notify.waiting.schedule import JITTER, MAX_ASKED_SECONDS
from shared.jsontext import JsonObject
from shared.retention import DAY_SECONDS, Retention

LONG_SECONDS: Final = 30 * DAY_SECONDS


def longest_retries(notify: JsonObject) -> tuple[str, float]:
    """Return the destination with the longest schedule of retries in notify's slice, and how long it may take.

    A destination may ask for a longer wait before each attempt. The last attempt gets a day.
    """
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    waits = {name: each.get("retry_seconds") for name, each in destinations.items() if isinstance(each, dict)}
    seconds = {
        name: sum(max(wait, MAX_ASKED_SECONDS) for wait in schedule if isinstance(wait, int | float))
        for name, schedule in waits.items()
        if isinstance(schedule, list)
    }
    name = max(seconds, key=lambda each: seconds[each], default="")
    return name, seconds[name] * (1 + JITTER) + DAY_SECONDS if seconds else 0.0


def waits_seconds(notify: JsonObject) -> float:
    """Return how long a route may wait for a system that its steps ask, with a day for its last try."""
    waits = notify.get("waiting_routes")
    longest = waits.get("longest_seconds") if isinstance(waits, dict) else None
    return max(longest * MAX_SHARE, LEAST_SECONDS) + DAY_SECONDS if isinstance(longest, int | float) else 0.0


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """Return how long a replay, a retry or a dead letter's replay may still need a body that is too large for a bus."""
    retries = waits_seconds(notify) + longest_retries(notify)[1]
    return retention.bodies_seconds + retries + retention.dead_letters_seconds


def retention_warning(retention: Retention, notify: JsonObject) -> str | None:
    """Return the warning that a schedule of retries keeps large bodies for much longer than `bodies`; None if none."""
    name, seconds = longest_retries(notify)
    if seconds <= max(LONG_SECONDS, retention.bodies_seconds):
        return None
    kept, waiting = (math.ceil(each / DAY_SECONDS) for each in (blobs_seconds(retention, notify), seconds))
    why = f"the retries of {name!r} take up to {waiting} days, if its receiver asks for a day before each attempt"
    return f"in a cloud, bodies over 200 KiB are kept for {kept} days: {why}. Set `retry` there, with fewer waits"
