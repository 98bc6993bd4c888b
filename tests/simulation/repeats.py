"""Effects that were repeated too soon, or too often."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from functions.notify.waiting.schedule import UNKNOWN_SECONDS
from tests.simulation.faults import Rates
from tests.simulation.ports import Effect


def is_repeated_too_soon(effects: Sequence[Effect], disturbed: Mapping[str, float]) -> bool:
    """The wait is counted by one worker's clock and ended by another's.

    A worker that was disturbed after the effect (`disturbed`: until when, by worker) may not have recorded it.
    """
    least = UNKNOWN_SECONDS - 2 * Rates().skew_seconds
    return any(
        before.is_silent and disturbed.get(before.worker, -1.0) < before.at and after.at - before.at < least
        for before, after in pairwise(effects)
    )


def longest_row(effects: Sequence[Effect]) -> int:
    """Return the length of the longest row of effects that attempts with no other between them had."""
    longest = length = 0
    for number, effect in enumerate(effects):
        follows = number > 0 and effect.attempt_number == effects[number - 1].attempt_number + 1
        length = length + 1 if follows else 1
        longest = max(longest, length)
    return longest
