"""A plain digest of a secret and a body: whoever has seen one can make one for a longer body, without the secret."""

import hashlib
import struct
from typing import Final

import pytest

from deploy.config.warnings import auth_warnings
from shared.config.signed import DigestAuth, HmacAuth
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import read_scheme, verify
from tests.receiving import Receiving

NOW: Final = 1_790_000_000.0
SECRET: Final = "a client secret, long enough"
SEEN: Final = b'[{"eventId": 1, "subscriptionId": 7, "objectId": 123, "occurredAt": 1790000000000}]'
FORGED: Final = b'\n[{"eventId": 2, "subscriptionId": 7, "objectId": 666, "occurredAt": 1790000000000}]'

# FIPS 180-4, 4.2.2 and 6.2.2: the standard library cannot go on from a digest.
_PRIMES: Final = [n for n in range(2, 312) if all(n % d for d in range(2, int(n**0.5) + 1))]
_K: Final = [int((n ** (1 / 3) % 1) * 2**32) for n in _PRIMES]
_ALL: Final = 2**32 - 1


def _turned(x: int, n: int) -> int:
    return (x >> n | x << 32 - n) & _ALL


def _compressed(state: list[int], block: bytes) -> list[int]:
    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        s0 = _turned(w[i - 15], 7) ^ _turned(w[i - 15], 18) ^ w[i - 15] >> 3
        s1 = _turned(w[i - 2], 17) ^ _turned(w[i - 2], 19) ^ w[i - 2] >> 10
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & _ALL)
    a, b, c, d, e, f, g, h = state
    for k, word in zip(_K, w, strict=True):
        t1 = h + (_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + (e & f ^ ~e & _ALL & g) + k + word
        t2 = (_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & _ALL, a, b, c, (d + t1) & _ALL, e, f, g
    return [(one + other) & _ALL for one, other in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def _padding(length: int) -> bytes:
    return b"\x80" + b"\0" * ((55 - length) % 64) + struct.pack(">Q", length * 8)


def lengthened(signature: str, secret_length: int, body: bytes, suffix: bytes) -> tuple[str, bytes]:
    """The longer body and its signature, made of what was seen on the wire alone."""
    seen = secret_length + len(body)
    longer = body + _padding(seen) + suffix
    rest = suffix + _padding(secret_length + len(longer))
    state = list(struct.unpack(">8I", bytes.fromhex(signature)))
    for at in range(0, len(rest), 64):
        state = _compressed(state, rest[at : at + 64])
    return struct.pack(">8I", *state).hex(), longer


def test_one_digest_that_was_seen_signs_a_longer_body_without_the_secret() -> None:
    signature, body = lengthened(hashlib.sha256(SECRET.encode() + SEEN).hexdigest(), len(SECRET), SEEN, FORGED)
    auth = read_scheme({"scheme": "digest", "header": "x-sig", "secret": "key", "content": "{secret}{body}"})
    verify(Request("POST", "/", headers=(("x-sig", signature),), body=body), auth, [SECRET], {}, NOW)
    assert body.endswith(FORGED)


def hubspot(**settings: Json) -> Receiving:
    return Receiving({"provider": "hubspot", "secret": "key", **settings}, {"key": SECRET}, NOW)


def sent(version: str, content_type: str, *, longer: bool) -> tuple[list[tuple[str, str]], bytes]:
    before = f"{SECRET}POSThttps://hooks.example.com/hook" if version == "v2" else SECRET
    signature, body = hashlib.sha256(before.encode() + SEEN).hexdigest(), SEEN
    if longer:
        signature, body = lengthened(signature, len(before), SEEN, FORGED)
    headers = [("X-HubSpot-Signature", signature), ("X-HubSpot-Signature-Version", version)]
    return [*headers, ("Content-Type", content_type)], body


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json", "malformed_body"),
        ("text/csv", "unsupported_content_type"),
        ("text/plain", "unsupported_content_type"),
        ("", "unsupported_content_type"),
    ],
)
async def test_a_lengthened_body_of_hubspots_is_no_event(version: str, content_type: str, code: str) -> None:
    receiving = hubspot(variant=version)
    assert await receiving.code(*sent(version, content_type, longer=True)) == code
    assert await receiving.code(*sent(version, "application/json; charset=utf-8", longer=False)) == ""


async def test_hubspots_v1_is_accepted_only_where_the_source_asks_for_it() -> None:
    assert await hubspot().code(*sent("v1", "application/json", longer=False)) == "signature_mismatch"


@pytest.mark.parametrize(
    ("content", "is_warned"), [("{secret}{body}", True), ("{secret}|{url}{body}", True), ("{body}{secret}", False)]
)
def test_lint_warns_of_a_digest_that_can_be_lengthened(content: str, is_warned: bool) -> None:
    auth = DigestAuth(scheme="digest", header="X-Sig", content=content, secret="key")
    assert any("longer body" in warning for warning in auth_warnings(auth)) is is_warned
    hmac = HmacAuth(scheme="hmac", header="X-Sig", secret="key")
    assert not any("longer body" in warning for warning in auth_warnings(hmac))
