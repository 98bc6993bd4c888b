"""Filters of subscriptions: equality of attributes, joined with AND. The rest of Google's language is rejected.

https://cloud.google.com/pubsub/docs/subscription-message-filter
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from deploy.dev.pubsub.google_json import invalid

Filter: TypeAlias = tuple[tuple[str, str], ...]

_TEXT: Final = r'"((?:[^"\\]|\\["\\])*)"'
_EQUALS: Final = re.compile(rf"\s*attributes\.(?:([A-Za-z_][\w-]*)|{_TEXT})\s*=\s*{_TEXT}\s*")
_AND: Final = re.compile(r"AND\b")


def parse_filter(text: str) -> Filter:
    """Parse a filter; an empty text lets everything through. Raises ApiError."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while text.strip():
        found = _EQUALS.match(text, position)
        if not found:
            raise _invalid_filter(text)
        bare, quoted, value = found.groups()
        pairs.append((bare or _unescaped(quoted), _unescaped(value)))
        if found.end() == len(text):
            break
        joined = _AND.match(text, found.end())
        if not joined:
            raise _invalid_filter(text)
        position = joined.end()
    return tuple(pairs)


def lets_through(wanted: Filter, attributes: Mapping[str, str]) -> bool:
    return all(attributes.get(key) == value for key, value in wanted)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _invalid_filter(text: str) -> Exception:
    return invalid(
        f"Invalid filter (filter={text}). This emulation takes equality of attributes, joined with AND: "
        'attributes.region = "north" AND attributes.kind = "signup".'
    )
