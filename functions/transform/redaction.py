"""What a value is replaced with so that nobody reads it; and what in a text is a card's number or a mail address."""

import re
from typing import Final

from shared.jsontext import Json, to_json

MASK: Final = "***"
_CARD: Final = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?P<domain>[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})")
_DIGITS: Final = (13, 19)


def masked(value: Json, mask: str, keep_last: int) -> str:
    """A text of `keep_last` characters or fewer is masked whole: its end would be all of it."""
    text = value if isinstance(value, str) else to_json(value)
    return mask + (text[-keep_last:] if 0 < keep_last < len(text) else "")


def without_cards(text: str, mask: str, keep_last: int) -> str:
    """Numbers of 13 to 19 digits, spaced or not, whose last digit proves the others (ISO/IEC 7812-1, Luhn)."""

    def replaced(found: re.Match[str]) -> str:
        digits = re.sub("[ -]", "", found[0])
        return masked(digits, mask, keep_last) if is_card(digits) else found[0]

    return _CARD.sub(replaced, text)


def without_emails(text: str, mask: str) -> str:
    return _EMAIL.sub(lambda found: f"{mask}@{found['domain']}", text)


def is_card(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return _DIGITS[0] <= len(digits) <= _DIGITS[1] and sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0
