"""Amazon SNS and PayPal, whose requests name the certificate they are proven by: the tests make their own."""

import json
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from functions.transform.transform import first_with_signed_bytes
from shared.errors import Temporary
from shared.jsontext import Json
from tests.fakes.owners import FakeOwners
from tests.receiving import Receiving
from tests.unit.receive.sender_keys import BODY, JSON, NOW, RSA, b64, code, receiving

SNS_CERT: Final = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
SNS_CONFIRM: Final = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:orders"
VERSION_3: Final = b"\xa0\x03\x02\x01\x02"
VERSION_8: Final = b"\xa0\x03\x02\x01\x07"


def certificate(name: str, days: int = 30) -> bytes:
    now = datetime.fromtimestamp(NOW, UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(RSA.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(RSA, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def sns(**changes: str) -> dict[str, str]:
    return {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "hello",
        "Message": '{"order": 1}',
        "Timestamp": datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "2",
        "SigningCertURL": SNS_CERT,
        **changes,
    }


def sns_signed(message: dict[str, str]) -> bytes:
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    content = "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()
    digest = hashes.SHA256() if message["SignatureVersion"] == "2" else hashes.SHA1()
    return json.dumps({**message, "Signature": b64(RSA.sign(content, padding.PKCS1v15(), digest))}).encode()


def sns_receiving(now: float = NOW, topics: Json = TOPIC, days: int = 30) -> Receiving:
    where = receiving("aws_sns", now=now, params={"topics": topics})
    where.fetched = {SNS_CERT: certificate("sns.amazonaws.com", days), SNS_CONFIRM: b"<ok/>"}
    return where


TEXT: Final = {"Content-Type": "text/plain; charset=UTF-8"}


def confirmation(**changes: str) -> dict[str, str]:
    message = sns(Type="SubscriptionConfirmation", Token="t", SubscribeURL=SNS_CONFIRM, **changes)
    del message["Subject"]
    return message


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_is_proven_by_the_certificate_it_names(version: str) -> None:
    body = sns_signed(sns(SignatureVersion=version))
    [event] = await sns_receiving().events(list(TEXT.items()), body)
    assert (event.type, event.deliveryid, event.subject) == ("Notification", "m-1", TOPIC)
    assert await code(sns_receiving(), TEXT, body.replace(b"hello", b"hallo")) == "signature_mismatch"


@pytest.mark.parametrize(
    ("where", "rejection"),
    [
        (sns_receiving(NOW + 3599), ""),
        (sns_receiving(NOW + 3601), "timestamp_out_of_range"),
        (sns_receiving(topics="999999999999"), "signature_mismatch"),
        (sns_receiving(days=-1), "signature_mismatch"),
    ],
    ids=["late by its retries", "too late", "anybody else's topic", "an expired certificate"],
)
async def test_a_genuine_notification_is_accepted_in_time_from_the_own_topic(where: Receiving, rejection: str) -> None:
    assert await code(where, TEXT, sns_signed(sns())) == rejection


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"TopicArn": "arn:aws:sns:eu-central-1:666666666666:theirs"}, "signature_mismatch"),
        ({"Timestamp": "2020-01-01T00:00:00.000Z"}, "timestamp_out_of_range"),
        ({"SignatureVersion": "3"}, "signature_mismatch"),
        ({"Signature": "%"}, "signature_mismatch"),
        ({"SigningCertURL": "https://sns.eu-nowhere-9.amazonaws.com/a.pem"}, "certificate_url_not_allowed"),
        (
            {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.eu-nowhere-9.amazonaws.com/"},
            "subscribe_url_not_allowed",
        ),
    ],
)
async def test_an_unsigned_message_makes_nobody_fetch_a_certificate(changes: dict[str, str], rejection: str) -> None:
    where = sns_receiving()
    message = {**sns(), "Signature": "Zm9yZ2Vk", **changes}
    assert await code(where, TEXT, json.dumps(message).encode()) == rejection
    assert where.fetch.asked == []


def of_an_unknown_version(pem: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pem.decode()).replace(VERSION_3, VERSION_8, 1)).encode()


@pytest.mark.parametrize(
    "fetched",
    [{}, {SNS_CERT: b"<html>"}, {SNS_CERT: of_an_unknown_version(certificate("sns.amazonaws.com"))}],
    ids=["out of reach", "no certificate", "an unknown version"],
)
async def test_a_genuine_message_is_not_rejected_while_its_certificate_cannot_be_had(fetched: dict[str, bytes]) -> None:
    where = sns_receiving()
    where.fetched = fetched
    with pytest.raises(Temporary, match="key_unavailable"):
        await where.outcome("POST", list(TEXT.items()), sns_signed(sns()))


async def test_what_a_strangers_topic_had_signed_is_not_read_as_a_trusted_accounts() -> None:
    """SNS signs its fields a line each: a stranger's message may hold lines that look like other fields."""
    at, theirs = sns()["Timestamp"], "arn:aws:sns:eu-central-1:666666666666:theirs"
    lines = f"forged\nMessageId\nm-2\nTimestamp\n{at}\nTopicArn\n{TOPIC}"
    signed = sns(TopicArn=theirs, Message=lines)
    del signed["Subject"]
    sent = json.loads(sns_signed(signed))
    rest = f"\nMessageId\nm-1\nTimestamp\n{at}\nTopicArn\n{theirs}"
    forged = {**sent, "Message": "forged", "MessageId": "m-2", "TopicArn": TOPIC + rest}
    for message, account in ((sent, "666666666666"), (forged, "123456789012")):
        expected = "" if message is sent else "signature_mismatch"
        assert await code(sns_receiving(topics=account), TEXT, json.dumps(message).encode()) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.evil.com/a.pem",
        "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
        "http://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com@evil.com/a.pem",
        "https://evil.com\\@sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com:8443/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem\n",
        "https://sns.us-east-1.amazonaws.com/a.pem?Action=GetTopicAttributes",
        "https://sns.s3-accelerate.amazonaws.com/a.pem",
        "",
    ],
)
async def test_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    where = sns_receiving()
    assert await code(where, TEXT, sns_signed(sns(SigningCertURL=url))) == "certificate_url_not_allowed"
    assert where.fetch.asked == []


async def test_a_subscription_is_confirmed_once_it_is_proven() -> None:
    where = sns_receiving()
    reply = await where.reply("POST", list(TEXT.items()), sns_signed(confirmation()))
    assert reply.status == 200
    assert [request.url for request in where.fetch.asked] == [SNS_CERT, SNS_CONFIRM]


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://evil.com/"])
async def test_a_subscription_is_confirmed_nowhere_else(url: str) -> None:
    where = sns_receiving()
    assert await code(where, TEXT, sns_signed(confirmation() | {"SubscribeURL": url})) == "subscribe_url_not_allowed"
    assert where.fetch.asked == []


async def test_a_forged_confirmation_is_not_followed() -> None:
    where = sns_receiving()
    body = sns_signed(confirmation()).replace(b'"Token": "t"', b'"Token": "u"')
    assert await code(where, TEXT, body) == "signature_mismatch"
    assert [request.url for request in where.fetch.asked] == [SNS_CERT]


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
        PAYPAL_CERT.replace("paypal.com", "paypal.com.evil.com"),
        PAYPAL_CERT.replace("api.", "evil"),
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
    message = json.loads(sns_signed(sns()))
    unsigned = {**message, "MessageAttributes": {"kind": {"Type": "String", "Value": "other"}}}
    with_the_crc_of_body = b'{"a": 2, "x": "CEECGEGACAEEACGACAAA"}'
    for where, headers, first, second in (
        (paypal_receiving(), paypal(), BODY, with_the_crc_of_body),
        (sns_receiving(), TEXT, json.dumps(message).encode(), json.dumps(unsigned).encode()),
    ):
        owners = FakeOwners()
        [one] = await where.events(list(headers.items()), first)
        [two] = await where.events(list(headers.items()), second)
        assert await first_with_signed_bytes(one, owners) is None
        assert await first_with_signed_bytes(two, owners) == one.id
        assert await first_with_signed_bytes(one, owners) is None
