"""Mask credentials in texts that are stored: some receivers repeat a request in their responses, and some proxies
repeat a password in headers of their own.

A credential is first masked in each spelling that an encoder gives all of it, such as its base64 or its percent
encoding. Then the escapes of URLs, JSON and HTML are undone in a copy, which shows where a credential stands of which
only some characters are escaped.
"""

import html
import json
import re
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

MASK: Final = "***"
MIN_MASKED_CHARACTERS: Final = 8
"""A shorter text may stand in a response by chance, and a delivery is judged by what its response says."""
MIN_PART_CHARACTERS: Final = 16
"""The same for a segment or parameter of a secret URL, which may be a word such as `webhooks`."""
_END_OF_BASE64: Final = rb"(?:[a-z0-9+/_-](?:={1,2}|(?![a-z0-9+/_-])))?"
"""The last character of a base64, with or without padding, which has bits of the credential's last byte.

It is looked for behind each spelling. Behind one that is not base64, at most one character too many is masked."""


def without_credentials(body: bytes, credentials: Sequence[str]) -> bytes:
    """Return the body without the credentials, their halves and the usual encodings of them, in capitals or not.

    Return the same object where it has none.
    """
    if len(body) < MIN_MASKED_CHARACTERS:
        return body
    low = body.lower() if credentials else b""
    for value in credentials:
        for spelling in _spellings(value):
            if spelling in low:
                body = re.sub(re.escape(spelling) + _END_OF_BASE64, MASK.encode(), body, flags=re.IGNORECASE)
                low = body.lower()
    return _without_escaped(body, low, credentials)


def masked(text: str, credentials: Sequence[str]) -> str:
    """Return the text without the credentials, however short they are. Nothing is judged by this text any more."""
    content = text.encode("utf-8", "replace")
    without = without_credentials(content, credentials)
    if without is not content:
        text = without.decode()
    for value in credentials:
        text = text.replace(value, MASK) if value else text
    return text


_ESCAPE: Final = re.compile(
    rb"%[0-9a-f]{2}|\\u(?:d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|[0-9a-f]{4})|\\[\"\\/bfnrt]|&#?[0-9a-z]{1,8};"
)
"""A character as URLs, JSON and HTML escape it, in small letters."""


def without_escapes(low: bytes) -> bytes:
    """Return the text, which is in small letters, with each character as it is before URLs, JSON or HTML escape it."""
    return _ESCAPE.sub(lambda escape: _unescaped(escape[0]), low)


def _without_escaped(body: bytes, low: bytes, credentials: Sequence[str]) -> bytes:
    """Mask credentials of which only some characters are escaped: each encoder leaves others as they are."""
    if not _ESCAPE.search(low):
        return body
    plain = without_escapes(low)
    texts = {text.encode("utf-8", "replace").lower() for value in credentials for text in _texts(value)}
    spans = [found.span() for text in texts if text in plain for found in re.finditer(re.escape(text), plain)]
    if not spans:
        return body
    places = _places(low)
    kept: list[bytes] = []
    end = 0
    for first, last in sorted(spans):
        if places[first] >= end:  # otherwise it overlaps the span before it, and shares its mask
            kept += (body[end : places[first]], MASK.encode())
        end = max(end, places[last])
    return b"".join((*kept, body[end:]))


def _places(low: bytes) -> "array[int]":
    """Return where each byte of the text without escapes begins in the body, and where the body ends."""
    places = array("L")  # a list of a large body's places takes four times the memory
    end = 0
    for escape in _ESCAPE.finditer(low):
        places.extend(range(end, escape.start()))
        places.extend([escape.start()] * len(_unescaped(escape[0])))
        end = escape.end()
    places.extend(range(end, len(low) + 1))
    return places


@lru_cache(maxsize=1_024)
def _unescaped(escape: bytes) -> bytes:
    text = escape.decode()
    if text.startswith("%"):
        return bytes.fromhex(text[1:]).lower()
    character: str = html.unescape(text) if text.startswith("&") else json.loads(f'"{text}"')
    return character.encode("utf-8", "replace").lower()


@lru_cache(maxsize=256)
def _texts(value: str) -> tuple[str, ...]:
    """Return the value, its parts, and the value in hex and base64, as far as they are long enough to be masked."""
    stripped = value.strip()
    middle = 0 if "://" in value else len(stripped) // 2
    parts = (stripped[:middle], stripped[middle:], *_parts_of_url(stripped))
    encoded = (stripped.encode("utf-8", "replace").hex(), *_in_base64(stripped))
    return tuple(text for text in (value, stripped, *parts, *encoded) if len(text) >= MIN_MASKED_CHARACTERS)


@lru_cache(maxsize=256)
def _spellings(value: str) -> tuple[bytes, ...]:
    """Return the value and its parts as URLs, JSON, HTML, base64 and hex write them, the longest first.

    ASCII letters are small: `bytes.lower` changes no others.
    """
    found = set[str]()
    for text in _texts(value):
        for cased in (text, text.upper(), text.lower()):
            found.update(_in_json(cased), _percent_encoded(cased), [cased, html.escape(cased)])
    spellings = {text.encode("utf-8", "replace").lower() for text in found}
    return tuple(sorted(spellings, key=len, reverse=True))


def _in_json(text: str) -> Iterator[str]:
    for quoted in (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]):
        yield quoted
        yield quoted.replace("/", "\\/")


def _percent_encoded(text: str) -> tuple[str, ...]:
    encoded = text.encode("utf-8", "replace")
    every_byte = "".join(f"%{byte:02x}" for byte in encoded)
    return quote(encoded, safe=""), quote(encoded), quote_plus(encoded), every_byte


def _in_base64(text: str) -> Iterator[str]:
    """Yield the text in base64 and base64url, at each of the three places where a longer text may have it.

    The characters at either end that hold bits of a neighbour are left out: `user:` may stand before a password.
    """
    content = text.encode("utf-8", "replace")
    for bytes_before in range(3):
        characters = b64encode(bytes(bytes_before) + content).decode()
        # Each character has 6 bits. Rounded up at the beginning and down at the end, all of them are the text's own.
        first_own = (bytes_before * 8 + 5) // 6
        end_of_own = (bytes_before + len(content)) * 8 // 6
        own = characters[first_own:end_of_own]
        yield own
        yield own.replace("+", "-").replace("/", "_")


def _parts_of_url(value: str) -> Iterator[str]:
    """Yield the secret parts of a URL that is a secret: its path with the query, and the long parts of both."""
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
