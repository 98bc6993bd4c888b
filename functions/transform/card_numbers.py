"""The numbers of payment cards in a text.

One has 13 to 19 digits, spaced or not, with a check digit (ISO/IEC 7812-1). Other digits may be beside it, as in
`2 4111 1111 1111 1111 12 28`, so each sequence of whole groups is checked.
"""

import itertools
import re
from array import array
from collections.abc import Iterator
from typing import Final

# Pages and word processors put non-breaking and narrow spaces, hyphens and dashes between the groups.
_BETWEEN_DIGITS: Final = "[ \u00a0\u2009\u202f\u2010-\u2015-]"
_FEWEST_DIGITS: Final = 13
_MOST_DIGITS: Final = 19
_RUN: Final = re.compile(f"[0-9](?:{_BETWEEN_DIGITS}?[0-9]){{{_FEWEST_DIGITS - 1},}}+")
_GROUP: Final = re.compile("[0-9]+")
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_ALL_BUT_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
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
        for start, end in _cards(text, run.span()):
            if joined and start < joined[1]:
                joined = joined[0], max(end, joined[1])
                continue
            if joined:
                yield joined
            joined = start, end
    if joined:
        yield joined


def _cards(text: str, run: Span) -> Iterator[Span]:
    """Yield the longest card that begins with each group of digits.

    Digits are added up once for the whole run, because a digit may be in many sequences: `1 1 1 …` of a megabyte has
    3.5 million of them.

    The run `12 4111 11` has the groups 0 to 2, and `counts` is 0, 2, 6, 8: so many digits stand before group 0, before
    group 1, before group 2, and before the end. One sign stands between two groups. So group 1 begins in the text after
    2 digits and 1 sign, and ends after 6 digits and 1 sign.
    """
    begin, end = run
    digits = text[begin:end].encode("ascii", "replace").translate(_VALUES, _ALL_BUT_DIGITS)
    sums = _luhn_sums(digits, 0), _luhn_sums(digits, 1)
    counts = array("I", itertools.accumulate((len(group[0]) for group in _GROUP.finditer(text, *run)), initial=0))
    last = len(counts) - 1
    reach = 0  # the first group that does not end within _MOST_DIGITS
    for first, digits_before in enumerate(counts):
        while reach < last and counts[reach + 1] - digits_before <= _MOST_DIGITS:
            reach += 1
        for after in range(reach, first, -1):  # the group after the card, first that of the longest card
            digits_until_end = counts[after]
            if digits_until_end - digits_before < _FEWEST_DIGITS:
                break
            sums_of_card = sums[digits_until_end % 2]  # the last digit but one is doubled
            if sums_of_card[digits_until_end] == sums_of_card[digits_before]:
                signs_before, signs_until_end = first, after - 1
                yield begin + digits_before + signs_before, begin + digits_until_end + signs_until_end
                break


def _luhn_sums(digits: bytes, first: int) -> bytes:
    """Return the last digits of the sums of no digits, of the first one, of two, …, with every second one from `first`
    on doubled."""
    values = bytearray(digits)
    values[first::2] = digits[first::2].translate(_DOUBLED)
    sums: Iterator[int] = itertools.accumulate(values, lambda total, value: (total + value) % 10, initial=0)
    return bytes(sums)
