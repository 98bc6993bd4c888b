"""A token that stands in a body proves its sender, and is nobody else's business: what is passed on is without it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.places import Place
from shared.signatures.reading import Reading

_REMOVED: Final = "[removed]"
_SHORTEST: Final = 8
"""Of a shorter text, other places would be changed with it."""


def data_without_tokens(data: Json, places: Sequence[Place]) -> Json:
    for place in places:
        data = _without(data, place.path)
    return data


def body_without_tokens(request: Request, places: Sequence[Place]) -> bytes | None:
    """None where they cannot be told from the rest, as in what is compressed or escaped."""
    body = request.body
    for text in _texts(request, places):
        if len(text) >= _SHORTEST:
            body = body.replace(text.encode("utf-8", "replace"), _REMOVED.encode())
    return None if any(_texts(replace(request, body=body), places)) else body


def _texts(request: Request, places: Sequence[Place]) -> Iterator[str]:
    reading = Reading(request)
    for place in places:
        for text in reading.data_texts(place) if place.kind == "data" else [reading.text(place)]:
            if text and text != _REMOVED:
                yield text


def _without(value: Json, path: Sequence[str]) -> Json:
    """A copy without what the path leads to; a `*` is each element. Of a list, null is left."""
    first, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_inner(item, rest) if first in {"*", str(at)} else item for at, item in enumerate(value)]
    if not isinstance(value, dict) or first not in value:
        return value
    others: JsonObject = {name: item for name, item in value.items() if name != first}
    return {**others, first: _inner(value[first], rest)} if rest else others


def _inner(value: Json, rest: Sequence[str]) -> Json:
    return _without(value, rest) if rest else None
