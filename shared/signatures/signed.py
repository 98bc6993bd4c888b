"""The schemes that sign: HMAC, plain digests and public keys, over the content that the way's template makes."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from shared.errors import Rejected
from shared.jsontext import Json
from shared.signatures.asymmetric import is_signed_by
from shared.signatures.compare import matches_any
from shared.signatures.content import Named, signed_content
from shared.signatures.keys import public_key, shared_key
from shared.signatures.layouts import Given, given_signatures
from shared.signatures.places import Place
from shared.signatures.reading import Reading
from shared.signatures.signing import comparable, decoded, digest_text, hmac_text
from shared.signatures.timestamps import verify_timestamp
from shared.signatures.urls import spellings
from shared.signatures.way import Way

MAX_ITEMS: Final = 1000
_MAX_ID: Final = 256


def verify_signed(reading: Reading, way: Way, secrets: Sequence[str], now: float) -> None:
    """Raises Rejected: `sig`, `ts` or `id`; Temporary for a secret that is no key."""
    if way.body_digest:
        _verify_body_digest(reading, reading.text(way.body_digest))
    for part in _parts(reading, way):
        _verify_one(part, way, secrets, now)


def _parts(reading: Reading, way: Way) -> Iterator[Reading]:
    """The request, or each of the items that carry a signature of their own."""
    if way.each is None:
        yield reading
        return
    items: list[Json] = reading.values(way.each)
    if not items or len(items) > MAX_ITEMS or not all(isinstance(item, dict) for item in items):
        raise Rejected("sig", f"the body holds no items that carry a signature, or more than {MAX_ITEMS}")
    for item in items:
        yield Reading(reading.request, reading.url, item)


def _verify_one(reading: Reading, way: Way, secrets: Sequence[str], now: float) -> None:
    given = given_signatures(reading, way)
    timestamp = ""
    if way.timestamp and not _is_in_the_signed_body(way):
        timestamp = _timestamp(reading, way.timestamp, given) or ""
        verify_timestamp(timestamp, now, way.tolerance_seconds, way.unit)
    if not _matches(given.signatures, list(_contents(reading, way, timestamp)), way, secrets):
        raise Rejected("sig", "no signature matches what was sent and the secret")
    if way.timestamp and _is_in_the_signed_body(way):  # which is parsed only now that it is proven
        verify_timestamp(reading.text(way.timestamp), now, way.tolerance_seconds, way.unit)


def _is_in_the_signed_body(way: Way) -> bool:
    return way.timestamp is not None and way.timestamp.kind == "data" and "body" in way.content


def _timestamp(reading: Reading, place: Place, given: Given) -> str | None:
    return given.items.get(place.name) if place.kind == "signature" else reading.text(place)


def _contents(reading: Reading, way: Way, timestamp: str) -> Iterator[Named]:
    message_id = ""
    if way.id:
        message_id = reading.text(way.id) or ""
        if not 0 < len(message_id) <= _MAX_ID:
            raise Rejected("id", f"the signed id is missing, or longer than {_MAX_ID} characters")
    for url in spellings(reading.url, way.url) if "url" in way.content else ("",):
        yield Named(reading, timestamp, message_id, url, missing_is_empty=way.each is not None)


def _matches(given: Sequence[str], contents: Sequence[Named], way: Way, secrets: Sequence[str]) -> bool:
    if way.scheme in {"hmac", "digest"}:
        expected = [_expected(named, way, secret) for named in contents for secret in secrets]
        return matches_any([comparable(text, way.encoding) for text in given], expected)
    signed = [signed_content(way.content, named) for named in contents]
    signatures = [raw for text in given if (raw := _raw(text, way.encoding))]
    checks = [
        is_signed_by(
            public_key(secret),
            way.scheme,
            signature,
            content,
            algorithm=way.algorithm,
            form=way.form,
            padding=way.padding,
        )
        for secret in secrets
        for content in signed
        for signature in signatures
    ]
    return any(checks)


def _expected(named: Named, way: Way, secret: str) -> str:
    key = shared_key(secret, way.key, way.key_prefix)
    if way.scheme == "digest":
        content = signed_content(way.content, _with_secret(named, key))
        return comparable(digest_text(content, way.algorithm, way.encoding), way.encoding)
    content = signed_content(way.content, named)
    return comparable(hmac_text(content, key, way.algorithm, way.encoding), way.encoding)


def _with_secret(named: Named, key: bytes) -> Named:
    return Named(named.reading, named.timestamp, named.id, named.url, key, named.missing_is_empty)


def _raw(text: str, encoding: str) -> bytes | None:
    try:
        return decoded(text, encoding)
    except ValueError:
        return None


def _verify_body_digest(reading: Reading, given: str | None) -> None:
    expected = hashlib.sha256(reading.request.body).hexdigest()
    if given is None or not matches_any([given.lower()], [expected]):
        raise Rejected("sig", "the SHA-256 that was sent along is not the body's")
