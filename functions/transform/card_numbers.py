"""Find the numbers of payment cards in a text.

A number of a payment card has 13 to 19 digits, spaced or not, with a check digit (ISO/IEC 7812-1). Other digits may be
beside it, as in `2 4111 1111 1111 1111 12 28`, so each sequence of whole groups is checked.
"""

import re
from collections.abc import Iterator
from typing import Final

# Pages and word processors put non-breaking and narrow spaces, hyphens and dashes between the groups.
_BETWEEN_DIGITS: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_FEWEST_DIGITS: Final = 13
_MOST_DIGITS: Final = 19
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN_DIGITS}?[0-9]){{{_FEWEST_DIGITS - 1},}}+")
_STRETCH: Final = re.compile(f"[0-9](?:{_BETWEEN_DIGITS}?[0-9]){{{_FEWEST_DIGITS - 1},{_MOST_DIGITS - 1}}}")
"""As many digits as one card may have."""
_GROUP: Final = re.compile("[0-9]+")
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED: Final = bytes.maketrans(bytes(range(10)), bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
"""The sum of the digits of twice each digit."""

Span = tuple[int, int]
"""Start and end in the text."""


def may_hold_card(text: str) -> bool:
    """Return False for a text without as many digits in a row as a card has: this is faster than `find_cards`."""
    return _RUN.search(text) is not None


def find_cards(text: str) -> Iterator[Span]:
    """Yield the span of each card; of cards that overlap, the span of all of them.

    A date before the first groups of a card can look like the start of a card. It is better to mask a digit too many.
    """
    joined: Span | None = None
    for run in _RUN.finditer(text):
        for group in _GROUP.finditer(text, *run.span()):
            start, end = group.start(), _end_of_card(text, group.start())
            if end is None:
                continue
            if joined and start < joined[1]:
                joined = joined[0], max(end, joined[1])
                continue
            if joined:
                yield joined
            joined = start, end
    if joined:
        yield joined


def _end_of_card(text: str, start: int) -> int | None:
    """Return the end of the longest card that begins with the group of digits at `start`; None if none does."""
    stretch = _STRETCH.match(text, start)
    if stretch is None:
        return None
    digits = b""
    ends: list[tuple[int, int]] = []  # of each group: how many digits there are up to it, and its place
    for group in _GROUP.finditer(text, *stretch.span()):
        digits += group[0].encode().translate(_VALUES)
        ends.append((len(digits), group.end()))
    if _GROUP.match(text, stretch.end()):  # the last group goes on, so no card ends here
        ends.pop()
    for count, end in reversed(ends):
        if count < _FEWEST_DIGITS:
            break
        if _has_check_digit(digits[:count]):
            return end
    return None


def _has_check_digit(digits: bytes) -> bool:
    """Return whether the digits pass the Luhn check: from the last but one to the first, every second is doubled."""
    return (sum(digits[::-2]) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0
