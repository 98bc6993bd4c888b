"""Generate the secret of a source in the form that its auth scheme needs, and keep the private half of a key pair.

A provider that signs with a private key gives a source only the public half. To sign in the provider's place on this
machine, the public half of a generated pair becomes one more value of the source's secret, and the private half stays
in the state folder.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.signatures import jwt, key_schemes, signature_scheme, standard_webhooks
from shared.signatures.auth_scheme import AuthScheme

FOLDER: Final = "keys"
"""The folder of private keys in the state folder."""
RSA_BITS: Final = 2048
KEY_BYTES: Final = 32
"""The random bytes that a generated secret is made of."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as text: the private half in PEM, the public half in base64, in the form of a source's secret."""

    private: str
    public: str


def is_asymmetric(auth: AuthScheme) -> bool:
    """Return whether the source's secret is a public key, whose private half only the sender has."""
    return isinstance(auth, key_schemes.PublicKeyScheme) or (isinstance(auth, jwt.JwtScheme) and not auth.is_shared_key)


def generate_value(name: str, schemes: Iterable[AuthScheme], state: Path, random_bytes: bytes) -> str | None:
    """Return a new value of the secret in the form that its schemes need; None if any text will do.

    If a scheme needs a key pair, the value is its public half, and the private half is stored in the state folder.
    """
    for auth in schemes:
        if is_asymmetric(auth):
            pair = generate_key_pair(auth)
            store_private_key(state, name, pair)
            return pair.public
        if value := generate_secret(auth, random_bytes):
            return value
    return None


def generate_secret(auth: AuthScheme, random_bytes: bytes) -> str | None:
    """Return a secret in the form that the scheme needs; None if any text will do."""
    match auth:
        case standard_webhooks.StandardWebhooksScheme():
            return "whsec_" + base64.b64encode(random_bytes[:24]).decode()
        case signature_scheme.HmacScheme(key_encoding="base64", key_prefix=prefix):
            return prefix + base64.b64encode(random_bytes[:24]).decode()
        case signature_scheme.HmacScheme(key_encoding="hex"):
            return random_bytes[:32].hex()
    return None


def private_key_file(state: Path, secret_name: str) -> Path:
    return state / FOLDER / f"{secret_name}.pem"


def read_private_key(state: Path, secret_name: str) -> str | None:
    path = private_key_file(state, secret_name)
    return path.read_text(encoding="ascii") if path.is_file() else None


def store_private_key(state: Path, secret_name: str, pair: KeyPair) -> Path:
    """Write the private half, readable for its owner only, and return its file. Raises OSError."""
    path = private_key_file(state, secret_name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)  # the file of an earlier key may be readable for others
    path.write_text(pair.private, encoding="ascii")
    return path


def generate_key_pair(auth: AuthScheme) -> KeyPair:
    """Return a new key pair for the scheme: Ed25519, P-256 (the curve of ES256), or RSA for all other schemes."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

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
    """Return whether the scheme is this one, or accepts JSON Web Tokens whose algorithm begins so, such as ES256."""
    names = auth.algorithms if isinstance(auth, jwt.JwtScheme) else ()
    return auth.scheme == scheme or any(name.startswith(algorithm) for name in names)
