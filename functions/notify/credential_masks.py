"""Masks of credentials in what a receiver answers: some repeat the request, or parts of it, in their responses."""

import html
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

MASK: Final = "***"
MIN_MASKED_CHARACTERS: Final = 8
"""A shorter text may be part of the response by chance, by which it is judged."""
MIN_PART_CHARACTERS: Final = 16
"""The same for a segment or parameter of a secret URL, which may be a word such as `webhooks`."""


def without_credentials(body: bytes, credentials: Sequence[str]) -> bytes:
    """Return the body without the credentials; the same object where it has none."""
    for value in credentials if body else ():
        for spelling in _spellings(value):
            encoded = spelling.encode("utf-8", "replace")
            if encoded in body:
                body = body.replace(encoded, MASK.encode())
    return body


def masked(text: str, credentials: Sequence[str]) -> str:
    """Return the text, which judges nothing any more, without the credentials, however short they are."""
    for value in credentials if text else ():
        for spelling in (*_spellings(value), value):
            text = text.replace(spelling, MASK)
    return text


@lru_cache(maxsize=256)
def _spellings(value: str) -> tuple[str, ...]:
    """Return the value and its parts as URLs, JSON and HTML write them, the longest first."""
    found = {
        spelling
        for text in (value, value.strip(), *_parts_of_url(value.strip()))
        for quoted in (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
        for spelling in (quoted, quoted.replace("/", "\\/"), html.escape(text), *_percent_encoded(text))
        if len(text) >= MIN_MASKED_CHARACTERS
    }
    return tuple(sorted(found, key=len, reverse=True))


def _percent_encoded(text: str) -> tuple[str, ...]:
    encoded = text.encode("utf-8", "replace")
    return quote(encoded, safe=""), quote(encoded), quote_plus(encoded)


def _parts_of_url(value: str) -> Iterator[str]:
    """Yield what is secret in a URL that is a secret: its path with the query, and the long parts of both."""
    if "://" not in value:
        return
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    if parts.path.strip("/"):
        yield f"{parts.path}?{parts.query}" if parts.query else parts.path
    texts = [*parts.path.split("/"), *(text for _, text in parse_qsl(parts.query)), parts.username, parts.password]
    yield from (text for text in texts if text and len(text) >= MIN_PART_CHARACTERS)
