"""The schemes that sign: HMAC, plain digests and public keys, over the content that the scheme's template makes.

A request carries its signatures in one of these layouts: one alone, pairs, a list by version, or numbered headers.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from shared.errors import Rejected
from shared.signatures.content import BODY, Named, signed_content
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.macs import matches_any, shared_key
from shared.signatures.places import values_at
from shared.signatures.reading import Reading, spellings
from shared.signatures.scheme import AuthScheme
from shared.signatures.signing import comparable, decoded, digest_text, hmac_text
from shared.signatures.timestamps import verify_timestamp

MAX_ITEMS: Final = 1000
MAX_SIGNATURES: Final = 10
MAX_NUMBERED: Final = 100
_MAX_ID: Final = 256
_MAX_JSON: Final = 8192


@dataclass(frozen=True, slots=True)
class Given:
    """The signatures that a request carries, as texts, and the other items that stand with them."""

    signatures: list[str]
    items: dict[str, str] = field(default_factory=dict)


def verify_signed(reading: Reading, auth: AuthScheme, secrets: Sequence[str], now: float) -> None:
    """Raises Rejected: `signature_mismatch`, `timestamp_out_of_range` or `invalid_delivery_id`; Temporary for a secret
    that is no key."""
    if auth.body_digest:
        expected = hashlib.sha256(reading.request.body).hexdigest()
        given = reading.text(auth.body_digest)
        if given is None or not matches_any([given.lower()], [expected]):
            raise Rejected("signature_mismatch", "the SHA-256 that was sent along is not the body's")
    if auth.each is None:
        _verify_one(reading, auth, secrets, now)
        return
    items = values_at(auth.each.path, reading.data())
    if not items or len(items) > MAX_ITEMS or not all(isinstance(item, dict) for item in items):
        raise Rejected(
            "signature_mismatch", f"the body holds no items that carry a signature, or more than {MAX_ITEMS}"
        )
    for item in items:
        _verify_one(Reading(reading.request, reading.url, item), auth, secrets, now)


def _verify_one(reading: Reading, auth: AuthScheme, secrets: Sequence[str], now: float) -> None:
    """Verify a request, or one of several items that carry a signature of their own."""
    given = given_signatures(reading, auth)
    timestamp = message_id = ""
    if auth.timestamp and not auth.signs_time_in_body:
        at = auth.timestamp
        timestamp = (given.items.get(at.name) if at.kind == "signature" else reading.text(at)) or ""
        verify_timestamp(timestamp, now, auth.tolerance_seconds, auth.unit)
    if auth.id:
        message_id = reading.text(auth.id) or ""
        if not 0 < len(message_id) <= _MAX_ID:
            raise Rejected("invalid_delivery_id", f"the signed id is missing, or longer than {_MAX_ID} characters")
    contents = [
        Named(reading, timestamp, message_id, url, missing_is_empty=auth.each is not None)
        for url in (spellings(reading.url, auth.url) if "url" in auth.content else ("",))
    ]
    if auth.scheme == "hmac" or auth.scheme == "digest":
        expected = [_expected(named, auth, secret) for named in contents for secret in secrets]
        is_valid = matches_any([comparable(text, auth.encoding) for text in given.signatures], expected)
    else:
        is_valid = _is_signed_by_any(given.signatures, contents, auth, secrets)
    if not is_valid:
        raise Rejected("signature_mismatch", "no signature matches what was sent and the secret")
    if auth.timestamp and auth.signs_time_in_body:  # the body is parsed only now that it is authenticated
        verify_timestamp(reading.text(auth.timestamp), now, auth.tolerance_seconds, auth.unit)


def _expected(named: Named, auth: AuthScheme, secret: str) -> str:
    key = shared_key(secret, auth.key, auth.key_prefix)
    if auth.scheme == "digest":
        content = signed_content(auth.content, replace(named, secret=key))
        return digest_text(content, auth.algorithm, auth.encoding)
    content = named.reading.request.body if auth.content is BODY else signed_content(auth.content, named)
    return hmac_text(content, key, auth.algorithm, auth.encoding)


def _is_signed_by_any(
    given: Sequence[str], contents: Sequence[Named], auth: AuthScheme, secrets: Sequence[str]
) -> bool:
    signed = [signed_content(auth.content, named) for named in contents]
    signatures = [raw for text in given if (raw := _raw(text, auth.encoding))]
    checks = [
        is_signed_by(
            public_key(secret),
            auth.scheme,
            signature,
            content,
            algorithm=auth.algorithm,
            form=auth.form,
            padding=auth.padding,
        )
        for secret in secrets
        for content in signed
        for signature in signatures
    ]
    return any(checks)


def _raw(text: str, encoding: str) -> bytes | None:
    try:
        return decoded(text, encoding)
    except ValueError:
        return None


def is_signed(reading: Reading, auth: AuthScheme) -> bool:
    """Return whether the request has anything at the place of the scheme's signature."""
    if auth.layout == "numbered":
        return bool(reading.request.header(auth.header.replace("{n}", "1")))
    if auth.each:
        return any(isinstance(item, dict) for item in values_at(auth.each.path, reading.data()))
    return bool(auth.at and reading.text(auth.at))


def given_signatures(reading: Reading, auth: AuthScheme) -> Given:
    """Return the signatures that the request carries. Raises Rejected where there are none, or too many."""
    if auth.layout == "numbered":
        return _numbered(reading, auth)
    text = reading.text(auth.at) if auth.at else None
    if not text:
        raise Rejected("signature_mismatch", f"the request has no signature: it is expected in {place_text(auth)}")
    if not text.startswith(auth.prefix):
        raise Rejected("signature_mismatch", f"the signature in {place_text(auth)} does not begin with {auth.prefix!r}")
    text = text[len(auth.prefix) :]
    match auth.layout:
        case "pairs":
            given = _pairs(text, auth)
        case "versions":
            pairs = [item.partition(",") for item in text.split()]
            given = Given([signature for version, _, signature in pairs if version in auth.take])
        case "base64-json":
            given = _base64_json(text, auth)
        case _:
            given = Given([text])
    if not given.signatures:
        raise Rejected(
            "signature_mismatch",
            f"no signature of the kind {', '.join(sorted(auth.take))} stands in {place_text(auth)}",
        )
    if len(given.signatures) > MAX_SIGNATURES:
        rule = f"at most {MAX_SIGNATURES} are tried"
        raise Rejected("signature_mismatch", f"{place_text(auth)} holds {len(given.signatures)} signatures; {rule}")
    return given


def place_text(auth: AuthScheme) -> str:
    """Describe the place of the scheme's signature."""
    if auth.scheme == "standard-webhooks":
        return f"the header {auth.names}-signature"
    if auth.header:
        return f"the header {auth.header}"
    return str(auth.at) if auth.at else "the request"


def _pairs(text: str, auth: AuthScheme) -> Given:
    """Split a list of pairs. Items that are not used may be repeated, such as signatures of another version."""
    signatures: list[str] = []
    items: dict[str, str] = {}
    for item in text.split(auth.separator[0]):
        key, _, value = item.strip().partition("=")
        if key in auth.take:
            signatures.append(value)
        elif key in items and auth.timestamp and key == auth.timestamp.name:
            raise Rejected("signature_mismatch", f"{place_text(auth)} has the same item twice")
        else:
            items[key] = value
    return Given(signatures, items)


def _base64_json(text: str, auth: AuthScheme) -> Given:
    try:
        value = json.loads(decoded(text[:_MAX_JSON], "base64"))
    except (ValueError, RecursionError):
        return Given([])
    items = value if isinstance(value, dict) else {}
    return Given([items[name] for name in auth.take if isinstance(items.get(name), str)])


def _numbered(reading: Reading, auth: AuthScheme) -> Given:
    found: list[str] = []
    for number in range(1, MAX_NUMBERED + 1):
        text = reading.request.header(auth.header.replace("{n}", str(number)))
        if not text:
            break
        found.append(text.removeprefix(auth.prefix))
    if not found:
        raise Rejected(
            "signature_mismatch", f"the request has no signature: it is expected in {place_text(auth)}, {{n}} from 1"
        )
    return Given(found)
