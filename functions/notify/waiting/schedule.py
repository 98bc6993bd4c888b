"""The time of the next attempt of a delivery.

After a failure, a delivery waits at least as long as its destination's schedule says, and at least as long as the
receiver asked for, up to a day. The wait after the same attempt of the same delivery is always the same. The ledger
stores the time as `retry_at`; due.py says what happens then.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from shared import journal

DEFAULT_RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400, 86_400)
"""The default waits: ten retries over 99 hours, close together at first."""
DIGEST_RETRY_SECONDS: Final = (5, 300, 1_800, *[3_600] * 99)
"""The default waits of a destination with digests. They take about the same time, but later ones are only an hour long,
because all later events wait until a digest is delivered."""
JITTER: Final = 0.2
"""The largest share of a wait that is added to it."""
UNKNOWN_SECONDS: Final = 300.0
"""The least wait after an attempt whose outcome is unknown: a slow destination gets time to finish."""
MAX_UNKNOWN_DOUBLINGS: Final = 9
"""After so many doublings, the wait is longer than MAX_ASKED_SECONDS. Without a limit, the power would overflow."""
MAX_ASKED_SECONDS: Final = 86_400.0
"""The longest wait that a receiver can ask for, because it may be faulty or hostile."""


class Wait(NamedTuple):
    """The wait of a delivery that may not be attempted before `until`, in Unix seconds. `reason` is for people.

    has_slot      `until` is a slot of the destination's rate, reserved for this delivery
    is_over_rate  the destination gathers deliveries that are over its rate, so this one waits for a digest if it can
    group         the group in which it waits for a digest; empty if it waits alone
    """

    until: float
    reason: str
    has_slot: bool = False
    is_over_rate: bool = False
    group: str = ""


def next_retry_at(
    retry_seconds: Sequence[float],
    attempt_number: int,
    delivery_id: str,
    now: float,
    after_seconds: float | None = None,
) -> float | None:
    """Return the time of the attempt that follows attempt `attempt_number`; None if the schedule has no further wait.

    `after_seconds` is the wait for which the receiver asked. The longer one of this wait and the schedule's applies.
    """
    if attempt_number > len(retry_seconds):
        return None
    wait = retry_seconds[attempt_number - 1]  # attempts are counted from 1
    if after_seconds is not None:
        wait = max(wait, min(after_seconds, MAX_ASKED_SECONDS))
    return now + spread(wait, delivery_id, attempt_number)


def number_in_schedule(attempts: Sequence[journal.AttemptEntry], attempt_number: int) -> int:
    """Return the attempt's number in the schedule, which begins again when an operator releases a held delivery.

    `attempts` are all earlier attempts of the delivery, oldest first. Those of earlier generations do not count:
    `attempt_number` is 1 for the first attempt of a generation.
    """
    earlier_in_generation = attempt_number - 1
    generation_start = max(0, len(attempts) - earlier_in_generation)
    newest_first = reversed(attempts[generation_start:])
    for attempts_since_held, attempt in enumerate(newest_first):
        if attempt.outcome == "held":
            return attempts_since_held + 1
    return attempt_number


def unknown_wait_seconds(unknown_count: int) -> float:
    """Return the least wait after so many attempts in a row with an unknown outcome. It doubles, up to a day."""
    doublings = min(unknown_count - 1, MAX_UNKNOWN_DOUBLINGS)
    return min(UNKNOWN_SECONDS * 2.0**doublings, MAX_ASKED_SECONDS)


def spread(wait_seconds: float, delivery_id: str, attempt_number: int) -> float:
    """Return the wait and up to a fifth more, so that deliveries that failed together do not retry together."""
    digest = hashlib.sha256(f"{delivery_id}:{attempt_number}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64  # from 0 to 1, the same in each process
    return wait_seconds * (1 + JITTER * share)
