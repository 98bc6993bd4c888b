"""Payment cards' numbers in a text: 13 to 19 digits, spaced or not, the last proving the others (ISO/IEC 7812-1).

Other digits may stand beside them, as in `2 4111 1111 1111 1111 12 28`: so each row of whole groups of digits counts.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

# Pages and word processors put spaces and hyphens that break no line, narrow ones and dashes between the groups.
_BETWEEN: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN}?[0-9]){{12,}}")
_GROUP: Final = re.compile("[0-9]+")
_FEWEST: Final = 13
_MOST: Final = 19


def may_hold_card(text: str) -> bool:
    return _RUN.search(text) is not None


def card_places(text: str) -> Iterator[tuple[int, int]]:
    """Where each begins and ends; of those that overlap, what they cover together, since a date before a card's first
    groups can pass for one. Rather a digit too many than one too few."""
    for run in _RUN.finditer(text):
        groups = [(run.start() + group.start(), group[0]) for group in _GROUP.finditer(run[0])]
        for first, last in _rows([digits for _, digits in groups]):
            yield groups[first][0], groups[last][0] + len(groups[last][1])


def _rows(groups: list[str]) -> list[tuple[int, int]]:
    """The first and the last group of each."""
    sums = _Sums("".join(groups))
    ends = list(accumulate(map(len, groups)))
    joined: list[tuple[int, int]] = []
    for first, group in enumerate(groups):
        last = _last(first, ends[first] - len(group), ends, sums)
        if last is None:
            continue
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def _last(first: int, start: int, ends: list[int], sums: "_Sums") -> int | None:
    """Of the longest card that begins with the group."""
    shortest = bisect_left(ends, start + _FEWEST, first)
    longest = bisect_right(ends, start + _MOST, shortest)
    return next((number for number in reversed(range(shortest, longest)) if sums.prove(start, ends[number])), None)


class _Sums:
    """Luhn's sums of all that comes before each digit, so that a row is proven without adding it up again.

    From a number's end, each second digit counts double: those at even places, or those at odd ones.
    """

    def __init__(self, digits: str) -> None:
        values = list(map(int, digits))
        self._doubled_at = [
            [0, *accumulate(_doubled(value) if place % 2 == parity else value for place, value in enumerate(values))]
            for parity in (0, 1)
        ]

    def prove(self, start: int, end: int) -> bool:
        sums = self._doubled_at[end % 2]
        return (sums[end] - sums[start]) % 10 == 0


def _doubled(value: int) -> int:
    return 2 * value - 9 if value > 4 else 2 * value
