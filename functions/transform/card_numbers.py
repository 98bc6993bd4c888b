"""Find the numbers of payment cards in a text.

A number of a payment card has 13 to 19 digits, spaced or not, with a check digit (ISO/IEC 7812-1). Other digits may be
beside it, as in `2 4111 1111 1111 1111 12 28`, so each sequence of whole groups is checked.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

# Pages and word processors put non-breaking and narrow spaces, hyphens and dashes between the groups.
_BETWEEN_DIGITS: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_FEWEST_DIGITS: Final = 13
_MOST_DIGITS: Final = 19
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN_DIGITS}?[0-9]){{{_FEWEST_DIGITS - 1},}}+")
_GROUP: Final = re.compile("[0-9]+")

Span = tuple[int, int]
"""Start and end in the text."""


# Plain classes: as named tuples, they took 0.2 ms more of each start.


class _Sums:
    """Sums of the digits from the start of a run to a position, in the two ways that a Luhn check may need.

    The check doubles every second digit of a card, from the last but one back to the first; only where the card ends
    decides whether those are digits 0, 2, 4… or 1, 3, 5… of the run. The sum of a card is the sum at its end less the
    sum at its start, so that no digit is added for more than one candidate.

    digits        how many digits there are
    even_doubled  their sum with digits 0, 2, 4… of the run doubled
    odd_doubled   their sum with digits 1, 3, 5… of the run doubled
    """

    __slots__ = ("digits", "even_doubled", "odd_doubled")

    def __init__(self, digits: int, even_doubled: int, odd_doubled: int) -> None:
        self.digits = digits
        self.even_doubled = even_doubled
        self.odd_doubled = odd_doubled


_NO_DIGITS: Final = _Sums(0, 0, 0)


class _Group:
    """Digits without anything between them: where they are, and the sums before and after them."""

    __slots__ = ("after", "before", "end", "start")

    def __init__(self, start: int, end: int, before: _Sums, after: _Sums) -> None:
        self.start = start
        self.end = end
        self.before = before
        self.after = after


def may_hold_card(text: str) -> bool:
    """Return False for a text without as many digits in a row as a card has: this is faster than `find_cards`."""
    return _RUN.search(text) is not None


def find_cards(text: str) -> Iterator[Span]:
    """Yield the span of each card; of cards that overlap, the span of all of them.

    A date before the first groups of a card can look like the start of a card. It is better to mask a digit too many.
    """
    for run in _RUN.finditer(text):
        yield from _joined(_cards(text, run.span()))


def _joined(cards: Iterable[Span]) -> Iterator[Span]:
    """Join the spans that overlap. They come in the order of their starts."""
    joined: Span | None = None
    for start, end in cards:
        if joined is None:
            joined = start, end
        elif start < joined[1]:
            joined = joined[0], max(end, joined[1])
        else:
            yield joined
            joined = start, end
    if joined is not None:
        yield joined


def _cards(text: str, run: Span) -> Iterator[Span]:
    """Yield the longest card that begins with each group.

    `window` is all that is kept of a run, however long it is: the groups that may be in one card with the next group.
    """
    window: deque[_Group] = deque()
    before = _NO_DIGITS
    start, end = run
    for group in _GROUP.finditer(text, start, end):
        digits = group[0]
        if len(digits) > _MOST_DIGITS:  # no card goes over this group, so the search restarts after it
            yield from _remaining_cards(window)
            before = _NO_DIGITS
            continue
        after = _sums_after(before, digits)
        while window and after.digits - window[0].before.digits > _MOST_DIGITS:
            yield from _longest_card(window)
            window.popleft()
        window.append(_Group(group.start(), group.end(), before, after))
        before = after
    yield from _remaining_cards(window)


def _remaining_cards(window: deque[_Group]) -> Iterator[Span]:
    """Yield the longest card that begins with each group of the window, and leave the window empty."""
    while window:
        yield from _longest_card(window)
        window.popleft()


def _longest_card(window: deque[_Group]) -> Iterator[Span]:
    """Yield the longest card that begins with the window's first group, if there is one.

    All groups of the window together have no more digits than a card may have.
    """
    first = window[0]
    for last in reversed(window):
        if last.after.digits - first.before.digits < _FEWEST_DIGITS:
            return
        if _has_check_digit(first.before, last.after):
            yield first.start, last.end
            return


def _has_check_digit(before: _Sums, after: _Sums) -> bool:
    """Return True if the digits between the two positions pass the Luhn check.

    The last but one of them is doubled. It is digit `after.digits - 2` of the run, which is odd if `after.digits` is.
    """
    if after.digits % 2 == 1:
        luhn_sum = after.odd_doubled - before.odd_doubled
    else:
        luhn_sum = after.even_doubled - before.even_doubled
    return luhn_sum % 10 == 0


def _sums_after(before: _Sums, digits: str) -> _Sums:
    first, second = digits[::2], digits[1::2]
    first_doubled = _sum_doubled(first) + sum(map(int, second))
    second_doubled = sum(map(int, first)) + _sum_doubled(second)
    total = before.digits + len(digits)
    if before.digits % 2 == 0:  # the first digit of these is an even one of the run
        return _Sums(total, before.even_doubled + first_doubled, before.odd_doubled + second_doubled)
    return _Sums(total, before.even_doubled + second_doubled, before.odd_doubled + first_doubled)


def _sum_doubled(digits: str) -> int:
    return sum(2 * digit - 9 if digit > 4 else 2 * digit for digit in map(int, digits))
