"""The benchmark's arithmetic."""

import pytest

from tests.bench.stats import median, quartiles, verdict


def test_the_median_is_the_middle_value_whatever_one_bad_round_is() -> None:
    assert median([2.0, 2.1, 1.9, 90.0, 2.0]) == 2.0


def test_the_spread_is_the_middle_half_of_the_rounds() -> None:
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)


def test_the_spread_of_few_rounds_is_all_of_them() -> None:
    assert quartiles([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert quartiles([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([2.0, 2.1, 2.0, 2.1, 9.0], [4.0, 4.1, 4.0, 4.1, 1.0], "better"),
        ([4.0, 4.1, 4.0, 4.1, 4.0], [2.0, 2.1, 2.0, 2.1, 2.0], "worse"),
        ([2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 4.0, 5.0, 6.0, 7.0], "same within noise"),
        ([2.04] * 5, [2.0] * 5, "same within noise"),
        ([0.0] * 5, [0.0] * 5, "same within noise"),
        ([1.0] * 3, [9.0] * 3, "too few rounds"),
        ([3.0], [6.0], "better"),
    ],
)
def test_commits_differ_only_if_their_rounds_are_apart(values: list[float], others: list[float], expected: str) -> None:
    assert verdict(values, others) == expected


def test_a_higher_throughput_is_better() -> None:
    assert verdict([800.0], [400.0], lower_is_better=False) == "better"
    assert verdict([400.0], [800.0], lower_is_better=False) == "worse"
