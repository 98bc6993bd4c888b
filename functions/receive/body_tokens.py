"""Removal of the tokens in a body: a token authenticates its sender, so it is not passed on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from shared import http, jsontext
from shared.signatures.locations import Location, RequestFields, without

_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""A shorter token is not removed from the raw body: the same text may stand elsewhere."""


def data_without_tokens(data: jsontext.Json, places: Sequence[Location]) -> jsontext.Json:
    """Remove the tokens at these places from the parsed data."""
    for place in places:
        data = without(data, place.path)
    return data


def body_without_tokens(request: http.Request, places: Sequence[Location]) -> bytes | None:
    """Remove tokens from a raw body; None if they cannot be found in it, for example because it is compressed."""
    body = request.body
    for token in _tokens(request, places):
        if len(token) >= _SHORTEST_TOKEN:
            body = body.replace(token.encode("utf-8", "replace"), _REMOVED.encode())
    has_tokens_left = any(_tokens(replace(request, body=body), places))
    return None if has_tokens_left else body


def _tokens(request: http.Request, places: Sequence[Location]) -> Iterator[str]:
    fields = RequestFields(request)
    for place in places:
        texts = fields.data_texts(place) if place.kind == "data" else [fields.text(place)]
        for text in texts:
            if text and text != _REMOVED:
                yield text
