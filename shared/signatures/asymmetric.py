"""Signatures by public key: Ed25519, ECDSA, RSA. `cryptography` is imported by the first that is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.signatures.keys import unusable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from shared.signatures.keys import PublicKey

_KIND: Final = {"ed25519": "Ed25519", "ecdsa": "elliptic-curve", "rsa": "RSA"}


def is_signed_by(
    key: PublicKey,
    scheme: str,
    signature: bytes,
    content: bytes,
    *,
    algorithm: str = "sha256",
    form: str = "der",
    padding: str = "pkcs1",
) -> bool:
    """`form` (der, raw) is ECDSA's, `padding` (pkcs1, pss) is RSA's.

    Raises Temporary (`secret_unusable`) for a key of another kind, or an algorithm this machine's OpenSSL refuses.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        if scheme == "ed25519" and isinstance(key, Ed25519PublicKey):
            key.verify(signature, content)
        elif scheme == "ecdsa" and isinstance(key, EllipticCurvePublicKey):
            der = signature if form == "der" else _der(signature, (key.curve.key_size + 7) // 8)
            key.verify(der, content, ECDSA(hash_of(algorithm)))
        elif scheme == "rsa" and isinstance(key, RSAPublicKey):
            key.verify(signature, content, padding_of(padding, algorithm), hash_of(algorithm))
        else:
            raise unusable(f"the secret is no {_KIND[scheme]} key, which this scheme asks for")
    except InvalidSignature:
        return False
    except UnsupportedAlgorithm as error:
        raise unusable(f"this machine's OpenSSL does not take {algorithm} in a signature") from error
    return True


def is_key_for(key: PublicKey, scheme: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    kinds = {"ed25519": Ed25519PublicKey, "ecdsa": EllipticCurvePublicKey, "rsa": RSAPublicKey}
    return isinstance(key, kinds[scheme])


def _der(raw: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if len(raw) != 2 * size:
        return b""
    return encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))


def hash_of(algorithm: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    known: dict[str, type[HashAlgorithm]] = {
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
        "sha1": hashes.SHA1,
    }
    return known[algorithm]()


def padding_of(padding: str, algorithm: str) -> AsymmetricPadding:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15

    return PKCS1v15() if padding == "pkcs1" else PSS(MGF1(hash_of(algorithm)), PSS.DIGEST_LENGTH)
