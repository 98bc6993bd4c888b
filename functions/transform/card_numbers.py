"""Payment cards' numbers in a text: 13 to 19 digits, spaced or not, the last proving the others (ISO/IEC 7812-1).

Other digits may stand beside them, as in `2 4111 1111 1111 1111 12 28`: so each row of whole groups of digits counts.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

# Pages and word processors put spaces and hyphens that break no line, narrow ones and dashes between the groups.
_BETWEEN: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN}?[0-9]){{12,}}+")
_GROUP: Final = re.compile("[0-9]+")
_FEWEST: Final = 13
_MOST: Final = 19

Place = tuple[int, int]
"""Where it begins and ends in the text."""


class _Sums(NamedTuple):
    """Luhn's, of all digits of a run up to a place: those at even places count double, or those at odd ones."""

    digits: int = 0
    even: int = 0
    odd: int = 0


class _Group(NamedTuple):
    start: int
    end: int
    before: _Sums
    after: _Sums


def may_hold_card(text: str) -> bool:
    return _RUN.search(text) is not None


def card_places(text: str) -> Iterator[Place]:
    """Of each card; of those that overlap, what they cover together, since a date before a card's first groups can
    pass for one. Rather a digit too many than one too few."""
    for run in _RUN.finditer(text):
        yield from _joined(_cards(text, run.span()))


def _joined(places: Iterable[Place]) -> Iterator[Place]:
    before: Place | None = None
    for start, end in places:
        if before and start < before[1]:
            before = before[0], max(end, before[1])
            continue
        if before:
            yield before
        before = start, end
    if before:
        yield before


def _cards(text: str, run: Place) -> Iterator[Place]:
    """The longest that begins with each group. No more groups are held than a card has: a text can be all digits."""
    groups: deque[_Group] = deque()
    before = _Sums()
    for found in _GROUP.finditer(text, *run):
        after = _after(before, found[0]) if len(found[0]) <= _MOST else _Sums()
        while groups and (not after.digits or after.digits - groups[0].before.digits > _MOST):
            yield from _card(groups)
            groups.popleft()
        if after.digits:
            groups.append(_Group(*found.span(), before, after))
        before = after
    while groups:
        yield from _card(groups)
        groups.popleft()


def _after(before: _Sums, digits: str) -> _Sums:
    even, odd = _of_group(digits)
    if before.digits % 2:
        even, odd = odd, even
    return _Sums(before.digits + len(digits), before.even + even, before.odd + odd)


def _of_group(digits: str) -> tuple[int, int]:
    even, odd = digits[::2], digits[1::2]
    return _doubled(even) + sum(map(int, odd)), sum(map(int, even)) + _doubled(odd)


def _doubled(digits: str) -> int:
    return sum(2 * digit - 9 if digit > 4 else 2 * digit for digit in map(int, digits))


def _card(groups: deque[_Group]) -> Iterator[Place]:
    """Of those that begin with the first group, the longest; all groups together have no more digits than a card."""
    start, _, before, _ = groups[0]
    for _, end, _, after in reversed(groups):
        if after.digits - before.digits < _FEWEST:
            return
        if (after.odd - before.odd if after.digits % 2 else after.even - before.even) % 10 == 0:
            yield start, end
            return
