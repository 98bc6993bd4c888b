"""Receive for the source of a provider, and keys of the tests' own for senders that sign with a private key."""

import base64
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.jsontext import Json
from tests.in_process.receiving import URL, Receiving

NOW: Final = 1_790_000_000
BODY: Final = b'{"a": 1}'
JSON: Final = {"Content-Type": "application/json"}
RSA: Final = rsa.generate_private_key(65537, 2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
ED: Final = ed25519.Ed25519PrivateKey.generate()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def raw_ed25519() -> bytes:
    return ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def receiving(provider: str, secret: str | None = None, now: float = NOW, url: str = URL, **more: Json) -> Receiving:
    source: dict[str, Json] = {"provider": provider, **more}
    if secret:
        source["secret"] = "the-secret"
    return Receiving(source, {"the-secret": secret or ""}, now, url)


async def code(where: Receiving, headers: dict[str, str], body: bytes = BODY) -> str:
    return await where.code(list(headers.items()), body)
