"""The secrets with which steps sign what they ask: keys as Standard Webhooks wants them."""

from collections.abc import Iterator
from typing import Final

from shared.jsontext import Json

_SIGNING: Final = ("call", "fetch")


def signing_secrets(transform: Json) -> frozenset[str]:
    """Their names, in transform's slice."""
    return frozenset(_names(transform))


def _names(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for step in _SIGNING:
            settings = value.get(step)
            if isinstance(settings, dict) and isinstance(name := settings.get("secret"), str):
                yield name
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(each)
