"""What a value is replaced with so that nobody reads it; and what in a text is a card's number or a mail address."""

import re
from typing import Final

from functions.transform.card_numbers import card_places, may_hold_card
from shared.jsontext import Json, to_json

MASK: Final = "***"
# Letters of any script: RFC 6531 has them on both sides.
_EMAIL: Final = re.compile(r"[\w.%+'-]{1,64}@(?P<domain>[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})")


def masked(value: Json, mask: str, keep_last: int) -> str:
    """A text of `keep_last` characters or fewer is masked whole: its end would be all of it."""
    text = value if isinstance(value, str) else to_json(value)
    return mask + (text[-keep_last:] if 0 < keep_last < len(text) else "")


def without_cards(text: str, mask: str, keep_last: int) -> str:
    if not may_hold_card(text):
        return text
    pieces: list[str] = []
    done = 0
    for start, end in card_places(text):
        digits = re.sub("[^0-9]", "", text[start:end])
        pieces += [text[done:start], masked(digits, mask, keep_last)]
        done = end
    return "".join([*pieces, text[done:]])


def without_emails(text: str, mask: str) -> str:
    if "@" not in text:  # as most texts are, and this is told sooner
        return text
    return _EMAIL.sub(lambda found: f"{mask}@{found['domain']}", text)
