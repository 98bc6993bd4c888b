"""What a value is replaced with so that nobody reads it; and what in a text is a card's number or a mail address."""

import itertools
import re
from collections.abc import Callable
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


def cleaned_everywhere(value: Json, clean: Callable[[str], str]) -> Json:
    """`value` with every text, number and name of a field cleaned; the very same where that changes nothing."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return _cleaned_object(value, clean)
    if isinstance(value, list):
        items = [cleaned_everywhere(item, clean) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if isinstance(value, int | float) and 10**12 <= value < 10**19 and value == int(value):  # as long as a card's
        text = str(int(value))
        cleaned = clean(text)
        return value if cleaned == text else cleaned
    return value


def _cleaned_object(fields: dict[str, Json], clean: Callable[[str], str]) -> dict[str, Json]:
    """Names that are one once masked are told apart by a number: no field is lost."""
    names = [clean(name) for name in fields]
    if names != list(fields):
        names = _told_apart(names)
    cleaned = {name: cleaned_everywhere(item, clean) for name, item in zip(names, fields.values(), strict=True)}
    return fields if all(name in fields and cleaned[name] is fields[name] for name in names) else cleaned


def _told_apart(names: list[str]) -> list[str]:
    taken = set(names)
    seen: set[str] = set()
    numbers = itertools.count(2)  # one count for all, so that many alike cost no search each
    apart: list[str] = []
    for name in names:
        unused = name
        if name in seen:
            unused = next(f"{name} ({n})" for n in numbers if f"{name} ({n})" not in taken)
        seen.add(unused)
        apart.append(unused)
    return apart
