"""Secrets and key pairs that fit an auth scheme, generated for use on this machine.

A provider that signs with a private key gives a source only the public half. To sign in its place, a generated pair's
public half becomes one more value of the source's secret, and the private half stays in the state folder.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.jwt import JwtScheme
from shared.signatures.key_schemes import PublicKeyScheme
from shared.signatures.keys import hash_of, padding_of
from shared.signatures.signature_scheme import HmacScheme
from shared.signatures.standard_webhooks import StandardWebhooksScheme

FOLDER: Final = "keys"
RSA_BITS: Final = 2048
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as text: the private half in PEM, the public half as the source's secret has it."""

    private: str
    public: str


def is_asymmetric(auth: AuthScheme) -> bool:
    return isinstance(auth, PublicKeyScheme) or (isinstance(auth, JwtScheme) and not auth.is_shared_key)


def generate_secrets(
    names: Collection[str], receive: JsonObject, state: Path, random_bytes: Callable[[int], bytes]
) -> dict[str, str]:
    """Return a new value for each of the named secrets that must have a certain form.

    Private keys are stored in the state folder. `receive` is its slice; `random_bytes(n)` returns n new bytes.
    """
    generated: dict[str, str] = {}
    for auth in _auth_schemes(receive):
        if auth.secret in names and auth.secret not in generated:
            if is_asymmetric(auth):
                pair = generate_key_pair(auth)
                store_private_key(state, auth.secret, pair)
                generated[auth.secret] = pair.public
            elif value := generate_secret(auth, random_bytes(KEY_BYTES)):
                generated[auth.secret] = value
    return generated


def generate_secret(auth: AuthScheme, random_bytes: bytes) -> str | None:
    """Return a secret in the form that the scheme needs; None where any text will do."""
    match auth:
        case StandardWebhooksScheme():
            return "whsec_" + base64.b64encode(random_bytes[:24]).decode()
        case HmacScheme(key="base64", key_prefix=prefix):
            return prefix + base64.b64encode(random_bytes[:24]).decode()
        case HmacScheme(key="hex"):
            return random_bytes[:32].hex()
    return None


def _auth_schemes(receive: JsonObject) -> Iterator[AuthScheme]:
    sources = receive["sources"]
    for settings in sources.values() if isinstance(sources, dict) else ():
        auth: Json = settings.get("auth") if isinstance(settings, dict) else None
        for entry in auth if isinstance(auth, list) else ():
            yield read_scheme(entry)


def private_key_file(state: Path, secret_name: str) -> Path:
    return state / FOLDER / f"{secret_name}.pem"


def read_private_key(state: Path, secret_name: str) -> str | None:
    path = private_key_file(state, secret_name)
    return path.read_text(encoding="ascii") if path.is_file() else None


def store_private_key(state: Path, secret_name: str, pair: KeyPair) -> Path:
    """Write it readable for its owner only."""
    path = private_key_file(state, secret_name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(pair.private, encoding="ascii")
    return path


def generate_key_pair(auth: AuthScheme) -> KeyPair:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if _uses(auth, "ed25519", "EdDSA"):
        private = Ed25519PrivateKey.generate()
    elif _uses(auth, "ecdsa", "ES"):
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if isinstance(private, Ed25519PrivateKey):
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(pem, base64.b64encode(public).decode())


def _uses(auth: AuthScheme, scheme: str, algorithm: str) -> bool:
    names = auth.algorithms if isinstance(auth, JwtScheme) else ()
    return auth.scheme == scheme or any(name.startswith(algorithm) for name in names)


def sign_with_private_key(private: str, content: bytes, algorithm: str, form: str, padding: str) -> bytes:
    """Return the signature.

    `form` (der, raw) is for ECDSA, `padding` (pkcs1, pss) for RSA. Raises ValueError for a key that cannot sign.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private.encode(), None)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(content, ec.ECDSA(hash_of(algorithm)))
        return signature if form == "der" else _fixed_size(signature, (key.key_size + 7) // 8)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding_of(padding, algorithm), hash_of(algorithm))
    raise ValueError("private key: must be Ed25519, EC or RSA")


def _fixed_size(signature: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
