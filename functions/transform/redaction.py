"""What a value is replaced with so that nobody reads it; and what in a text is a card's number or a mail address."""

import re
from typing import Final

from shared.jsontext import Json, to_json

MASK: Final = "***"
_LONG: Final = re.compile(r"[0-9](?:[ \u00a0-]?[0-9]){12}")
# However it is grouped; and as cards print it, looked for at every number: a date or a code may stand right beside it.
_CARDS: Final = tuple(
    re.compile(written.replace("_", "[ \u00a0-]"))
    for written in (
        "(?<![0-9])([0-9](?:_?[0-9]){12,18})(?![0-9])",
        "(?<![0-9])([0-9]{13,19})(?![0-9])",
        "(?<![0-9])(?=([0-9]{4}(?:_[0-9]{4}){2}_[0-9]{1,4})(?![0-9]))",
        "(?<![0-9])(?=([0-9]{4}(?:_[0-9]{4}){3}_[0-9]{1,3})(?![0-9]))",
        "(?<![0-9])(?=([0-9]{4}_[0-9]{6}_[0-9]{4,5})(?![0-9]))",
    )
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?P<domain>[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})")
_DIGITS: Final = (13, 19)
_DOUBLED: Final = {str(digit): digit * 2 % 9 or digit for digit in range(10)}


def masked(value: Json, mask: str, keep_last: int) -> str:
    """A text of `keep_last` characters or fewer is masked whole: its end would be all of it."""
    text = value if isinstance(value, str) else to_json(value)
    return mask + (text[-keep_last:] if 0 < keep_last < len(text) else "")


def without_cards(text: str, mask: str, keep_last: int) -> str:
    """Numbers of 13 to 19 digits, spaced or not, whose last digit proves the others (ISO/IEC 7812-1, Luhn)."""
    if not _LONG.search(text):
        return text
    pieces: list[str] = []
    done = 0
    for start, end in _card_spans(text):
        pieces += (text[done:start], masked(_digits(text[start:end]), mask, keep_last))
        done = end
    return "".join([*pieces, text[done:]])


def _card_spans(text: str) -> list[tuple[int, int]]:
    """In their order; of those that overlap, what they cover together."""
    found = (each for card in _CARDS for each in card.finditer(text))
    joined: list[tuple[int, int]] = []
    for start, end in sorted({each.span(1) for each in found if is_card(_digits(each[1]))}):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def without_emails(text: str, mask: str) -> str:
    return _EMAIL.sub(lambda found: f"{mask}@{found['domain']}", text)


def is_card(digits: str) -> bool:
    if not _DIGITS[0] <= len(digits) <= _DIGITS[1]:
        return False
    from_the_end = digits[::-1]
    return (sum(map(int, from_the_end[::2])) + sum(map(_DOUBLED.__getitem__, from_the_end[1::2]))) % 10 == 0
