"""Public keys (Ed25519, ECDSA, RSA): read from a secret's text, and the signatures that they verify.

`cryptography` takes 23 ms to import, so the first key that is read imports it, and no start does.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import unusable
from shared.signatures.signing import decoded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_ED25519_BYTES: Final = 32


@lru_cache(maxsize=128)
def public_key(text: str) -> PublicKey:
    """Read PEM (a key or a certificate), a JWK, or hex or base64 of DER or of an Ed25519 key's 32 bytes.

    Raises Temporary (`secret_unusable`).
    """
    text = text.strip().removeprefix("whpk_")
    try:
        found = _parse_key(text)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise unusable("the secret is not a public key: give PEM, a JWK, or its bytes in base64 or hex") from error
    except ImportError as error:
        raise unusable("a public key takes the package cryptography: install the extra crypto") from error
    if found is None:
        raise unusable("the secret is a public key of a kind that no scheme here uses: Ed25519, EC or RSA")
    return found


def _parse_key(text: str) -> PublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

    try:
        if text.startswith("{"):
            return jwk_key(json.loads(text))
        if text.startswith("-----BEGIN CERTIFICATE"):
            return certificate_key(text.encode())
        if text.startswith("-----BEGIN"):
            return _known(load_pem_public_key(text.encode()))
        raw = decoded(text, "hex" if _is_hex(text) else "base64")
        return _ed25519(raw) if len(raw) == _ED25519_BYTES else _known(load_der_public_key(raw))
    except UnsupportedAlgorithm:
        return None


def certificate_key(pem: bytes) -> PublicKey | None:
    """Raises ValueError."""
    from cryptography.x509 import load_pem_x509_certificate

    return _known(load_pem_x509_certificate(pem).public_key())


def jwk_key(jwk: Json) -> PublicKey | None:
    """Read a JSON Web Key (RFC 7517, RFC 8037). Raises ValueError, TypeError or KeyError."""
    if not isinstance(jwk, dict):
        raise TypeError("a JWK is an object")
    match jwk.get("kty"):
        case "OKP" if jwk.get("crv") == "Ed25519":
            return _ed25519(_bytes_of(jwk, "x"))
        case "EC":
            return _ec_key(jwk)
        case "RSA":
            from cryptography.hazmat.primitives.asymmetric import rsa

            return rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
    return None


def _ec_key(jwk: JsonObject) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    return ec.EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), curves[str(jwk["crv"])]).public_key()


def _ed25519(raw: bytes) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _known(key: object) -> PublicKey | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kinds = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    return key if isinstance(key, kinds) else None


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)


def _integer(jwk: JsonObject, name: str) -> int:
    return int.from_bytes(_bytes_of(jwk, name), "big")


def _bytes_of(jwk: JsonObject, name: str) -> bytes:
    text = jwk[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is not text")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


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
    """Return whether the key's owner made the signature. `form`: ECDSA's, der or raw. `padding`: RSA's, pkcs1 or pss.

    Raises Temporary (`secret_unusable`) for a key of another kind, or an algorithm this machine's OpenSSL rejects.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        if scheme == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
        elif scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            der = signature if form == "der" else _der(signature, (key.curve.key_size + 7) // 8)
            key.verify(der, content, ec.ECDSA(hash_of(algorithm)))
        elif scheme == "rsa" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding_of(padding, algorithm), hash_of(algorithm))
        else:
            raise unusable(f"the secret is no {_KIND[scheme]} key, which this scheme asks for")
    except InvalidSignature:
        return False
    except UnsupportedAlgorithm as error:
        raise unusable(f"this machine's OpenSSL does not take {algorithm} in a signature") from error
    return True


def is_key_for(key: PublicKey, scheme: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kinds = {"ed25519": ed25519.Ed25519PublicKey, "ecdsa": ec.EllipticCurvePublicKey, "rsa": rsa.RSAPublicKey}
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
