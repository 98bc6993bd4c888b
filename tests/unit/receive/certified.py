"""Certificates, and messages of Amazon SNS that they prove."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.jsontext import Json
from tests.receiving import Receiving
from tests.unit.receive.sender_keys import NOW, RSA, b64, receiving

SNS_CERT: Final = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
SNS_CONFIRM: Final = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:orders"


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
