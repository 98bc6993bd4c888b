"""Numbers of payment cards in a text: 13 to 19 digits, spaced or not, with a check digit (ISO/IEC 7812-1).

Other digits may be beside them, as in `2 4111 1111 1111 1111 12 28`, so each sequence of whole groups is checked.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

# Pages and word processors put non-breaking and narrow spaces, hyphens and dashes between the groups.
_BETWEEN: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN}?[0-9]){{12,}}+")
_GROUP: Final = re.compile("[0-9]+")
_FEWEST: Final = 13
_MOST: Final = 19

Span = tuple[int, int]
"""Start and end in the text."""


class _Sums(NamedTuple):
    """Luhn sums of all digits of a run up to a position, with the digits at even or at odd positions doubled."""

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


def find_cards(text: str) -> Iterator[Span]:
    """Yield the span of each card; of cards that overlap, the span of all of them.

    A date before the first groups of a card can look like the start of one. It is better to mask a digit too many.
    """
    for run in _RUN.finditer(text):
        yield from _joined(_cards(text, run.span()))


def _joined(places: Iterable[Span]) -> Iterator[Span]:
    before: Span | None = None
    for start, end in places:
        if before and start < before[1]:
            before = before[0], max(end, before[1])
            continue
        if before:
            yield before
        before = start, end
    if before:
        yield before


def _cards(text: str, run: Span) -> Iterator[Span]:
    """Yield the longest card that begins with each group. Only as many groups as a card has are kept in memory."""
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
    even, odd = _group_sums(digits)
    if before.digits % 2:
        even, odd = odd, even
    return _Sums(before.digits + len(digits), before.even + even, before.odd + odd)


def _group_sums(digits: str) -> tuple[int, int]:
    even, odd = digits[::2], digits[1::2]
    return _sum_doubled(even) + sum(map(int, odd)), sum(map(int, even)) + _sum_doubled(odd)


def _sum_doubled(digits: str) -> int:
    return sum(2 * digit - 9 if digit > 4 else 2 * digit for digit in map(int, digits))


def _card(groups: deque[_Group]) -> Iterator[Span]:
    """Yield the longest card that begins with the first group; all groups together have no more digits than a card."""
    start, _, before, _ = groups[0]
    for _, end, _, after in reversed(groups):
        if after.digits - before.digits < _FEWEST:
            return
        if (after.odd - before.odd if after.digits % 2 else after.even - before.even) % 10 == 0:
            yield start, end
            return
