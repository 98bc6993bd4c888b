"""The arithmetic of the table: medians, spreads, and the verdict on two commits."""

import statistics
from collections.abc import Sequence
from typing import Final, Literal

Verdict = Literal["better", "same within noise", "worse", "too few rounds"]
SMALLEST_DIFFERENCE: Final = 0.05
"""A smaller one is no difference, however steady it is: the same code differs by it from one run to the next."""
FEWEST_ROUNDS: Final = 4
"""Of fewer, the same code often has none in common with itself."""


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the values between which the middle half lies; of few values, the lowest and the highest."""
    if len(values) < FEWEST_ROUNDS:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def verdict(values: Sequence[float], others: Sequence[float], lower_is_better: bool = True) -> Verdict:
    """Compare the rounds of this tree with those of another commit.

    It is a difference only if the middle halves of the two do not overlap, and the medians are far enough apart. One
    value for the whole run, such as memory, is its own middle half.
    """
    if 1 < min(len(values), len(others)) < FEWEST_ROUNDS:
        return "too few rounds"
    (low, high), (other_low, other_high) = quartiles(values), quartiles(others)
    apart = abs(median(values) - median(others))
    if (low <= other_high and other_low <= high) or apart < SMALLEST_DIFFERENCE * abs(median(others)):
        return "same within noise"
    return "better" if (high < other_low) == lower_is_better else "worse"
