"""The time for which a deployment keeps a body that is too large for a bus, and why it can be long."""

import math
from typing import Final

from functions.notify.waiting.routes import LEAST_WAIT_SECONDS, MAX_WAIT_FACTOR
from functions.notify.waiting.schedule import JITTER, MAX_ASKED_SECONDS
from shared.jsontext import JsonObject, mappings_at, value_at
from shared.retention import DAY_SECONDS, Retention

LONG_SECONDS: Final = 30 * DAY_SECONDS
"""A schedule of retries that takes longer keeps large bodies for a time that few operators expect."""


def longest_retries(notify: JsonObject) -> tuple[str, float]:
    """Return the destination with the longest schedule of retries in notify's slice, and the seconds that it may take.

    The receiver may ask for a longer wait before each attempt, with `Retry-After`. A day is added for the last attempt.
    """
    waits = {name: each.get("retry_seconds") for name, each in mappings_at(notify, "destinations").items()}
    seconds = {
        name: sum(max(wait, MAX_ASKED_SECONDS) for wait in schedule if isinstance(wait, int | float))
        for name, schedule in waits.items()
        if isinstance(schedule, list)
    }
    name = max(seconds, key=lambda each: seconds[each], default="")
    return name, seconds[name] * (1 + JITTER) + DAY_SECONDS if seconds else 0.0


def waits_seconds(notify: JsonObject) -> float:
    """Return the seconds that a route may wait for a system that its steps ask, with a day for the last attempt."""
    longest = value_at(notify, "waiting_routes", "longest_seconds")
    if not isinstance(longest, int | float):
        return 0.0
    return max(longest * MAX_WAIT_FACTOR, LEAST_WAIT_SECONDS) + DAY_SECONDS


def blobs_seconds(retention: Retention, notify: JsonObject) -> float:
    """Return the seconds for which a body that is too large for a bus is kept.

    A retry, a replay of the event or a replay of its dead letter may need it until then.
    """
    retries = waits_seconds(notify) + longest_retries(notify)[1]
    return retention.bodies_seconds + retries + retention.dead_letters_seconds


def retention_warning(retention: Retention, notify: JsonObject) -> str | None:
    """Return the warning that a schedule of retries keeps large bodies for much longer than `bodies`; None if none."""
    name, seconds = longest_retries(notify)
    if seconds <= max(LONG_SECONDS, retention.bodies_seconds):
        return None
    retry_days = math.ceil(seconds / DAY_SECONDS)
    kept_days = math.ceil(blobs_seconds(retention, notify) / DAY_SECONDS)
    why = f"the retries of {name!r} take up to {retry_days} days, if its receiver asks for a day before each attempt"
    return f"in a cloud, bodies over 200 KiB are kept for {kept_days} days: {why}. Set `retry` there, with fewer waits"
