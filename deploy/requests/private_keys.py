"""Key pairs of our own, for providers that sign with a key of which a source has only the public half.

The public half goes where the provider's would: it is one more value of the source's secret.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared.signatures.keys import hash_of, padding_of

if TYPE_CHECKING:
    from shared.signatures.scheme import AuthScheme

FOLDER: Final = "keys"
RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both as text: the private half in PEM, the public one as the source's secret has it."""

    private: str
    public: str


def key_file(state: Path, secret_name: str) -> Path:
    return state / FOLDER / f"{secret_name}.pem"


def kept_key(state: Path, secret_name: str) -> str | None:
    path = key_file(state, secret_name)
    return path.read_text(encoding="ascii") if path.is_file() else None


def keep_key(state: Path, secret_name: str, pair: KeyPair) -> Path:
    """For its owner alone."""
    path = key_file(state, secret_name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(pair.private, encoding="ascii")
    return path


def make_pair(way: AuthScheme) -> KeyPair:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if _is(way, "ed25519", "EdDSA"):
        private = Ed25519PrivateKey.generate()
    elif _is(way, "ecdsa", "ES"):
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if isinstance(private, Ed25519PrivateKey):
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(pem, base64.b64encode(public).decode())


def _is(way: AuthScheme, scheme: str, algorithm: str) -> bool:
    return way.scheme == scheme or any(name.startswith(algorithm) for name in way.algorithms)


def signed_by(private: str, content: bytes, algorithm: str, form: str, padding: str) -> bytes:
    """`form` (der, raw) is ECDSA's, `padding` (pkcs1, pss) is RSA's. Raises ValueError for what is no private key."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private.encode(), None)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(content, ec.ECDSA(hash_of(algorithm)))
        return signature if form == "der" else _raw(signature, (key.key_size + 7) // 8)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding_of(padding, algorithm), hash_of(algorithm))
    raise ValueError("the private key is of a kind that no scheme here uses: Ed25519, EC or RSA")


def _raw(signature: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
