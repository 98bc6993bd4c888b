"""Remove the tokens in a body. A token authenticates its sender, so nobody else may get it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from shared import http, jsontext
from shared.signatures.locations import Location, RequestFields, without

_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""The fewest characters of a token that is removed from a raw body. The text of a shorter one may also be elsewhere."""


def data_without_tokens(data: jsontext.Json, places: Sequence[Location]) -> jsontext.Json:
    """Remove the tokens at these places from the parsed data."""
    for place in places:
        data = without(data, place.path)
    return data


def body_without_tokens(request: http.Request, places: Sequence[Location]) -> bytes | None:
    """Return the raw body without the tokens; None if they cannot be found in it, for example if it is compressed."""
    body = request.body
    for token in _tokens(request, places):
        if len(token) >= _SHORTEST_TOKEN:
            body = body.replace(token.encode("utf-8", "replace"), _REMOVED.encode())
    has_tokens_left = any(_tokens(replace(request, body=body), places))
    return None if has_tokens_left else body


def _tokens(request: http.Request, places: Sequence[Location]) -> Iterator[str]:
    """Yield the tokens that are still in the body."""
    fields = RequestFields(request)
    for place in places:
        texts = fields.data_texts(place) if place.kind == "data" else [fields.text(place)]
        for text in texts:
            if text and text != _REMOVED:
                yield text
