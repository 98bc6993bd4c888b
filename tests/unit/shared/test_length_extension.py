"""A plain digest of a secret and a body: whoever has seen one can compute that of a longer body, without the secret."""

import hashlib
from typing import Final

import pytest

from deploy.config.warnings import auth_warnings
from shared.config.signed import DigestAuth, HmacAuth
from shared.jsontext import Json
from tests.in_process.receiving import Receiving

NOW: Final = 1_790_000_000.0
SECRET: Final = "a client secret, long enough"
SEEN: Final = b'[{"eventId": 1, "subscriptionId": 7, "objectId": 123, "occurredAt": 1790000000000}]'
FORGED: Final = b'\n[{"eventId": 2, "subscriptionId": 7, "objectId": 666, "occurredAt": 1790000000000}]'

# What SHA-256 adds to the secret and the body that were seen: with it between them, a longer body has a digest that
# anybody can compute from the one that was seen.
_PADDING: Final = b"\x80" + b"\0" * 42


def hubspot(**settings: Json) -> Receiving:
    return Receiving({"provider": "hubspot", "secret": "key", **settings}, {"key": SECRET}, NOW)


def sent(version: str, content_type: str, *, longer: bool) -> tuple[list[tuple[str, str]], bytes]:
    before = f"{SECRET}POSThttps://hooks.example.com/hook" if version == "v2" else SECRET
    body = SEEN + _PADDING + FORGED if longer else SEEN
    signature = hashlib.sha256(before.encode() + body).hexdigest()
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
