"""Read public keys (Ed25519, ECDSA, RSA) from the texts of secrets, and verify signatures by them.

The package cryptography takes 23 ms to import. So the functions import what they need of it, and no start waits for it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from shared.jsontext import Json, JsonObject, decode_base64url
from shared.signatures.auth_scheme import UnusableSecret
from shared.signatures.signing import decode_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_ED25519_BYTES: Final = 32
"""The size of an Ed25519 key (RFC 8032)."""
_STANDARD_WEBHOOKS_PREFIX: Final = "whpk_"
"""The beginning of a public key as Standard Webhooks writes it."""
_KIND_NAMES: Final = {"ed25519": "Ed25519", "ecdsa": "elliptic-curve", "rsa": "RSA"}
"""The kind of key that each scheme needs, as messages name it."""


@lru_cache(maxsize=128)
def public_key(secret: str) -> PublicKey:
    """Read the public key that is a secret's text.

    The text is PEM (of a key or of a certificate), a JWK, or bytes in hex or base64. The bytes are DER, or the 32 bytes
    of an Ed25519 key. Raises Temporary (`secret_unusable`).
    """
    text = secret.strip().removeprefix(_STANDARD_WEBHOOKS_PREFIX)
    try:
        key = _parse_key(text)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise UnusableSecret(
            "the secret is not a public key: give PEM, a JWK, or its bytes in base64 or hex"
        ) from error
    except ImportError as error:
        raise UnusableSecret("a public key takes the package cryptography: install the extra crypto") from error
    if key is None:
        raise UnusableSecret("the secret is a public key of a kind that no scheme here uses: Ed25519, EC or RSA")
    return key


def _parse_key(text: str) -> PublicKey | None:
    """Return the key; None if it is of a kind that no scheme uses.

    Raises ValueError, TypeError or KeyError, OverflowError for numbers that no key has, and RecursionError for JSON
    that is nested too deeply.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

    try:
        if text.startswith("{"):
            return jwk_key(json.loads(text))
        if text.startswith("-----BEGIN CERTIFICATE"):
            return certificate_key(text.encode())
        if text.startswith("-----BEGIN"):
            return _key_if_used(load_pem_public_key(text.encode()))
        key_bytes = decode_bytes(text, "hex" if _is_hex(text) else "base64")
        if len(key_bytes) == _ED25519_BYTES:
            return _ed25519_key(key_bytes)
        return _key_if_used(load_der_public_key(key_bytes))
    except UnsupportedAlgorithm:
        return None


def certificate_key(pem: bytes) -> PublicKey | None:
    """Return the key in a certificate; None if it is of a kind that no scheme uses. Raises ValueError."""
    from cryptography.x509 import load_pem_x509_certificate

    certificate = load_pem_x509_certificate(pem)
    return _key_if_used(certificate.public_key())


def jwk_key(jwk: Json) -> PublicKey | None:
    """Read a JSON Web Key (RFC 7517, RFC 8037); None if it is of a kind that no scheme uses.

    Raises ValueError, TypeError or KeyError.
    """
    if not isinstance(jwk, dict):
        raise TypeError("a JWK is an object")
    match jwk.get("kty"):
        case "OKP" if jwk.get("crv") == "Ed25519":
            return _ed25519_key(_bytes_of(jwk, "x"))
        case "EC":
            return _ec_key(jwk)
        case "RSA":
            from cryptography.hazmat.primitives.asymmetric import rsa

            numbers = rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n"))
            return numbers.public_key()
    return None


def _ec_key(jwk: JsonObject) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    curve = curves[str(jwk["crv"])]
    numbers = ec.EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), curve)
    return numbers.public_key()


def _ed25519_key(key_bytes: bytes) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PublicKey.from_public_bytes(key_bytes)


def _key_if_used(key: object) -> PublicKey | None:
    """Return the key if a scheme uses keys of its kind, else None. The package also reads DSA, X25519 and others."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kinds = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    return key if isinstance(key, kinds) else None


def _is_hex(text: str) -> bool:
    """Return whether the text is hex. Base64 of a key could be, too, but has other letters in all probability."""
    return len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)


def _integer(jwk: JsonObject, name: str) -> int:
    return int.from_bytes(_bytes_of(jwk, name), "big")


def _bytes_of(jwk: JsonObject, name: str) -> bytes:
    """Return the bytes of a member, which a JWK has in base64url without padding. Raises TypeError or ValueError."""
    text = jwk[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is not text")
    return decode_base64url(text)


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
    """Return whether the key's owner made the signature.

    `form` is how an ECDSA signature is written: `der`, or `raw` for its two numbers one after the other. `padding` is
    how an RSA signature is padded: `pkcs1` or `pss`.

    Raises Temporary (`secret_unusable`) for a key of another kind, or an algorithm this machine's OpenSSL rejects.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        if scheme == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
        elif scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            der = signature if form == "der" else _der_signature(signature, key)
            key.verify(der, content, ec.ECDSA(hash_of(algorithm)))
        elif scheme == "rsa" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding_of(padding, algorithm), hash_of(algorithm))
        else:
            raise UnusableSecret(f"the secret is no {_KIND_NAMES[scheme]} key, which this scheme asks for")
    except InvalidSignature:
        return False
    except UnsupportedAlgorithm as error:
        raise UnusableSecret(f"this machine's OpenSSL does not take {algorithm} in a signature") from error
    return True


def is_key_for(key: PublicKey, scheme: str) -> bool:
    """Return whether the key is of the kind that the scheme needs: `ed25519`, `ecdsa` or `rsa`."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kinds = {"ed25519": ed25519.Ed25519PublicKey, "ecdsa": ec.EllipticCurvePublicKey, "rsa": rsa.RSAPublicKey}
    return isinstance(key, kinds[scheme])


def _der_signature(raw: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a raw ECDSA signature, which is the numbers r and s, in DER, which the package verifies."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    number_bytes = (key.curve.key_size + 7) // 8
    if len(raw) != 2 * number_bytes:
        return b""  # is not DER, so it fails the verification like any other wrong signature
    r = int.from_bytes(raw[:number_bytes], "big")
    s = int.from_bytes(raw[number_bytes:], "big")
    return encode_dss_signature(r, s)


def hash_of(algorithm: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    hashes_by_name: dict[str, type[HashAlgorithm]] = {
        "sha256": hashes.SHA256,
        "sha384": hashes.SHA384,
        "sha512": hashes.SHA512,
        "sha1": hashes.SHA1,
    }
    return hashes_by_name[algorithm]()


def padding_of(padding: str, algorithm: str) -> AsymmetricPadding:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15

    if padding == "pkcs1":
        return PKCS1v15()
    return PSS(MGF1(hash_of(algorithm)), PSS.DIGEST_LENGTH)
