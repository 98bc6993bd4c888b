"""Signing with a private key: for samples and tests, never on a request's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.signatures.asymmetric import hash_of, padding_of
from shared.signatures.keys import unusable

if TYPE_CHECKING:
    from shared.signatures.way import Way


def private_signature(pem: str, way: Way, content: bytes) -> bytes:
    """Raises Temporary (`secret_unusable`)."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise unusable("to sign as this sender does, the secret has to be a private key in PEM") from error
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, EllipticCurvePrivateKey):
        signature = key.sign(content, ECDSA(hash_of(way.algorithm)))
        return signature if way.form == "der" else _raw(signature, (key.curve.key_size + 7) // 8)
    if isinstance(key, RSAPrivateKey):
        return key.sign(content, padding_of(way.padding, way.algorithm), hash_of(way.algorithm))
    raise unusable("the private key is of a kind that no scheme here uses: Ed25519, EC or RSA")


def _raw(signature: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
