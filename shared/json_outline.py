"""Outlines of JSON text: whether it may hold long strings or long numbers, found out faster than by parsing it."""

import re
from typing import Final

_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
"""Makes each digit a zero, so that one search for zeros finds any long number."""
_LONG_TEXT: Final = 65_536
"""The fewest bytes of a text that `outline` shortens."""
_LONG_STRING: Final = 512
"""`outline` empties strings of more bytes than this."""
_FEW_MARKS: Final = 2_000
"""The most quotation marks that `outline` looks at. A text with more has mostly short strings."""
_MANY_BACKSLASHES: Final = 64
"""`outline` counts at most so many backslashes before a quotation mark, so that a hostile text cannot make it slow."""
_BACKSLASH: Final = ord("\\")
_UNESCAPED_MARK: Final = re.compile(rb'[^\\]"')
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")


def has_long_number(outlined: bytes) -> bool:
    """Return whether the JSON text with this outline may hold an integer of more than 64 bits.

    orjson reads such an integer as a float. Any integer of at most 18 digits fits into 64 bits.
    """
    # Not `in`: it first tries to use the bytes as a number, which takes a quarter of the time for a small text.
    return outlined.translate(_TO_ZEROS).find(b"0" * 19) >= 0


def outline(text: bytes) -> bytes:
    """Return JSON text with its long strings emptied, except keys.

        {"file": "JVBERi0…", "pages": 2}   {"file": "", "pages": 2}

    The outline has the same quotation marks, keys and numbers as the text, so these can be counted and searched for in
    it. A text of 1 MB is mostly one string, such as a file, and each search through all of it would take 0.5 ms. A
    short text, one with many strings, and one with many backslashes before a mark are returned as they are.
    """
    if len(text) < _LONG_TEXT:
        return text
    # A text with many marks at its beginning would most probably be looked at in vain.
    if text.count(b'"', 0, _LONG_TEXT // 2) > _FEW_MARKS // 2:
        return text
    pieces: list[bytes] = []
    copied = 0  # the outline of the text before this position is in `pieces`
    opening = -1  # the position of the mark that opened the present string; -1 outside strings
    mark = -1
    for _ in range(_FEW_MARKS):
        mark = text.find(b'"', mark + 1)
        if mark < 0:
            return b"".join([*pieces, text[copied:]])
        if opening < 0:
            opening = mark
            continue
        if text[mark - 1] == _BACKSLASH:
            before = text[max(0, mark - _MANY_BACKSLASHES) : mark]
            backslashes = len(before) - len(before.rstrip(b"\\"))
            if backslashes == _MANY_BACKSLASHES:
                break
            if backslashes % 2:  # the last one escapes the mark; the others escape each other
                continue
        is_long = mark - opening > _LONG_STRING
        if is_long and _COLON.match(text, mark + 1) is None:  # a colon follows a key
            pieces.append(text[copied : opening + 1])
            copied = mark
        opening = -1
    return text  # it has more marks than are looked at, or too many backslashes


def may_hold_string(text: bytes, longer_than: int) -> bool:
    """Return whether JSON text may contain a string of more than `longer_than` bytes. If not, it certainly has none.

    This is quicker than parsing. A string of this length covers at least one whole block of half the length. Inside a
    string, every quotation mark follows a backslash. So a block with any other mark is not inside a string.
    """
    block_size = longer_than // 2 + 1
    block_starts = range(0, len(text) - block_size + 1, block_size)
    return any(_UNESCAPED_MARK.search(text, start, start + block_size) is None for start in block_starts)
