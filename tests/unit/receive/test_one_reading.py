"""What a signature is looked for in and what is taken are one reading of the body, however its sender bends it."""

import gzip
import hashlib
import hmac
import json
import struct
import zlib
from typing import Final
from urllib.parse import quote

import pytest

from tests.posting import JSON, Posting
from tests.receiving import Receiving
from tests.unit.receive.sender_keys import b64, code, receiving

SECRET: Final = "a secret, long enough"
SEEN: Final = b'{"ref": "seen"}'
FORGED: Final = json.dumps({"ref": "forged"})
FIELD: Final = b"payload=" + quote(SEEN).encode()
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
ADYEN_KEY: Final = "ab" * 32


def signed(content: bytes) -> dict[str, str]:
    """Over the field `payload`, as an attacker has seen it once."""
    return FORM | {"X-Gitea-Signature": hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()}


def commented_gzip(comment: bytes, content: bytes) -> bytes:
    """Of which the comment is read by nobody who unpacks it."""
    packed = zlib.compress(content, wbits=-15)
    sums = struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\x10\0\0\0\0\0\x03" + comment + b"\0" + packed + sums


def gitea() -> Receiving:
    return receiving("gitea", SECRET)


async def test_a_signed_field_of_a_form_is_accepted_also_where_the_form_is_compressed() -> None:
    for headers, body in (
        (signed(SEEN), FIELD),
        (signed(SEEN) | {"Content-Encoding": "gzip"}, gzip.compress(FIELD)),
    ):
        [event] = await gitea().events(list(headers.items()), body)
        assert event.data == {"ref": "seen"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, json.dumps({"payload": FORGED, "x": f"&{FIELD.decode()}&"}).encode()),
        ({}, json.dumps([{"payload": FORGED}, f"&{FIELD.decode()}&"]).encode()),
        ({}, FIELD + b"&" + FIELD + b"&ref=forged"),
        ({}, FIELD + b"&payload=" + quote(FORGED).encode()),
        (
            {"Content-Encoding": "gzip"},
            commented_gzip(b"&" + FIELD + b"&", b"payload=" + quote(FORGED).encode()),
        ),
    ],
    ids=["JSON called a form", "a list called a form", "twice", "another beside it", "in a gzip comment"],
)
async def test_a_signed_field_proves_nothing_that_is_not_read_from_it(headers: dict[str, str], body: bytes) -> None:
    assert await code(gitea(), signed(SEEN) | headers, body) == "signature_mismatch"


@pytest.mark.parametrize("name", ["text/csv", "text/tab-separated-values", "text/yaml", "text/html", "image/png"])
async def test_signed_fields_of_json_prove_nothing_that_is_read_as_another_format(name: str) -> None:
    auth = '{scheme: hmac, secret: key, at: data.sig, content: "{data.id}"}'
    posting = Posting(f"a: {{auth: {auth}}}", {"key": SECRET})
    signature = hmac.new(SECRET.encode(), b"7", hashlib.sha256).hexdigest()
    body = f'{{"x": [1,"event"\n,"forged","more"\n],"id": "7","sig": "{signature}"}}'.encode()
    assert (await posting.send("/a", body, JSON)).status == 200
    assert (await posting.send("/a", body)).status == 200
    assert (await posting.send("/a", body, ("content-type", name))).status in {400, 415}
    assert len(posting.events) == 2


async def test_signed_items_of_a_providers_json_are_read_as_it_sends_them_whatever_charset_a_header_names() -> None:
    item = {"pspReference": "1", "amount": {"value": 1, "currency": "EUR"}, "eventCode": "PAID", "success": "true"}
    signature = b64(hmac.digest(bytes.fromhex(ADYEN_KEY), b"1::::1:EUR:PAID:true", "sha256"))
    seen = {"NotificationRequestItem": item | {"additionalData": {"hmacSignature": signature}}}
    text = json.dumps({"notificationItems": [seen]})
    for charset, used, expected in (
        ("utf-8", "utf-8", ""),
        ("utf-16le", "utf-16le", "signature_mismatch"),
        ("utf-16le", "utf-8", ""),
        ("nonsense", "utf-8", ""),
    ):
        headers = {"Content-Type": f"application/json; charset={charset}"}
        assert await code(receiving("adyen", ADYEN_KEY), headers, text.encode(used)) == expected
