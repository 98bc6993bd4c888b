"""PayPal's requests, which its certificate proves."""

import json
import zlib
from datetime import UTC, datetime
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from functions.transform.transform import first_with_signed_bytes
from tests.fakes.owners import FakeOwners
from tests.receiving import Receiving
from tests.unit.receive.certified import TEXT, certificate, sns, sns_receiving, sns_signed
from tests.unit.receive.sender_keys import BODY, JSON, NOW, RSA, b64, code, receiving

PAYPAL_CERT: Final = "https://api.paypal.com/v1/notifications/certs/CERT-1"


def paypal(url: str = PAYPAL_CERT, algorithm: str = "SHA256withRSA") -> dict[str, str]:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"t-1|{at}|WH-1|{zlib.crc32(BODY)}".encode()
    return JSON | {
        "PAYPAL-TRANSMISSION-ID": "t-1",
        "PAYPAL-TRANSMISSION-TIME": at,
        "PAYPAL-TRANSMISSION-SIG": b64(RSA.sign(content, padding.PKCS1v15(), hashes.SHA256())),
        "PAYPAL-CERT-URL": url,
        "PAYPAL-AUTH-ALGO": algorithm,
    }


def paypal_receiving(
    now: float = NOW, name: str = "messageverificationcerts.paypal.com", hook: str = "WH-1"
) -> Receiving:
    where = receiving("paypal", now=now, params={"webhook_id": hook})
    where.fetched = {PAYPAL_CERT: certificate(name)}
    return where


async def test_paypal_is_proven_by_its_own_certificate() -> None:
    assert await code(paypal_receiving(), paypal()) == ""
    assert await code(paypal_receiving(), paypal(), b"{}") == "signature_mismatch"
    assert await code(paypal_receiving(hook="WH-2"), paypal()) == "signature_mismatch"
    assert await code(paypal_receiving(NOW + 301), paypal()) == "timestamp_out_of_range"
    assert await code(paypal_receiving(name="messageverificationcerts.evil.com"), paypal()) == "signature_mismatch"
    assert await code(paypal_receiving(), paypal(algorithm="SHA1withRSA")) == "signature_mismatch"


@pytest.mark.parametrize(
    "url",
    [
        PAYPAL_CERT.replace("api.", "") + ".evil.com",
        PAYPAL_CERT.replace("paypal.com", "paypal.com.evil.com"),
        PAYPAL_CERT.replace("api.", "evil"),
        PAYPAL_CERT.replace("api.", "www."),
        PAYPAL_CERT.replace("https", "http"),
        PAYPAL_CERT + "?x=1",
        PAYPAL_CERT + "/../../../../webapps/anything",
        "https://api.paypal.com/c",
    ],
)
async def test_paypals_certificate_is_fetched_from_paypal_alone(url: str) -> None:
    where = paypal_receiving()
    assert await code(where, paypal(url)) == "certificate_url_not_allowed"
    assert where.fetch.asked == []


async def test_an_unsigned_request_makes_nobody_fetch_paypals_certificate() -> None:
    for changes, rejection in (
        ({"PAYPAL-TRANSMISSION-TIME": "2020-01-01T00:00:00Z"}, "timestamp_out_of_range"),
        ({"PAYPAL-TRANSMISSION-TIME": ""}, "timestamp_out_of_range"),
        ({"PAYPAL-AUTH-ALGO": "SHA1withRSA"}, "signature_mismatch"),
        ({"PAYPAL-TRANSMISSION-SIG": "%"}, "signature_mismatch"),
    ):
        where = paypal_receiving()
        assert await code(where, paypal() | changes) == rejection
        assert where.fetch.asked == []


async def test_of_requests_with_one_signature_of_paypals_or_amazons_the_first_counts_whatever_was_not_signed() -> None:
    extra = b'{"id": "another", "x": "'
    forged = extra + of_the_same_crc(extra, b'"}', zlib.crc32(BODY)) + b'"}'
    message = json.loads(sns_signed(sns()))
    unsigned = json.dumps({**message, "MessageAttributes": {"kind": {"Type": "String", "Value": "other"}}}).encode()
    for where, headers, first, second in (
        (paypal_receiving(), paypal(), BODY, forged),
        (sns_receiving(), TEXT, json.dumps(message).encode(), unsigned),
    ):
        owners = FakeOwners()
        [one] = await where.events(list(headers.items()), first)
        [two] = await where.events(list(headers.items()), second)
        assert await first_with_signed_bytes(one, owners) is None
        assert await first_with_signed_bytes(two, owners) == one.id
        assert await first_with_signed_bytes(one, owners) is None


def of_the_same_crc(before: bytes, after: bytes, wanted: int) -> bytes:
    """Printable bytes between the two that make the whole have that CRC-32: it is linear, so bits are solved for."""
    free = 64  # letters, of which two bits each can be chosen

    def crc(bits: int) -> int:
        middle = bytes(0x41 ^ (bits >> 2 * at & 3) << 1 for at in range(free))
        return zlib.crc32(before + middle + after)

    base = crc(0)
    rows: list[tuple[int, int]] = []
    for at in range(2 * free):
        value, mask = crc(1 << at) ^ base, 1 << at
        for pivot, of in rows:
            if value ^ pivot < value:
                value, mask = value ^ pivot, mask ^ of
        if value:
            rows.append((value, mask))
    left, chosen = base ^ wanted, 0
    for pivot, of in rows:
        if left ^ pivot < left:
            left, chosen = left ^ pivot, chosen ^ of
    assert left == 0
    return bytes(0x41 ^ (chosen >> 2 * at & 3) << 1 for at in range(free))
