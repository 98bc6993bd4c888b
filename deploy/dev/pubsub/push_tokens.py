"""The tokens of emulated pushes: signed as Google signs them, with a key that is the state folder's own."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.config.page_token import create_private
from shared.cloud.gcp.push_identity import ALGORITHM, EMULATED_ISSUER
from shared.jsontext import JsonObject
from shared.outgoing.access_tokens import signed_jwt
from shared.signatures.signing import encode_bytes

FILE_NAME: Final = "push-key.pem"
TOKEN_SECONDS: Final = 3_600
RENEW_SECONDS: Final = 300
KEY_BITS: Final = 2_048


class PushTokens:
    """The tokens by account and audience. The key is read, or generated, at first use.

    Whoever can read its file can push as the emulator does.
    """

    def __init__(self, state_folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path = state_folder / FILE_NAME
        self._now = now
        self._pem = ""
        self._tokens: dict[tuple[str, str], tuple[int, str]] = {}

    def token(self, account: str, audience: str) -> str:
        """Return a token. Raises OSError if the state folder cannot be read or written."""
        now = self._now()
        issued_at, token = self._tokens.get((account, audience), (0, ""))
        is_fresh = issued_at <= now < issued_at + TOKEN_SECONDS - RENEW_SECONDS  # not if the clock was set back
        if not is_fresh:
            issued_at = int(now)
            claims: JsonObject = {
                "iss": EMULATED_ISSUER,
                "aud": audience,
                "sub": account,
                "email": account,
                "email_verified": True,
                "iat": issued_at,
                "exp": issued_at + TOKEN_SECONDS,
            }
            token = signed_jwt({"alg": ALGORITHM, "kid": self._key_id(), "typ": "JWT"}, claims, self._private_key())
            self._tokens[account, audience] = issued_at, token
        return token

    def keys(self) -> JsonObject:
        """Return the public key, as a JSON Web Key Set. Raises OSError."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._private_key().encode(), None)
        assert isinstance(key, RSAPrivateKey)
        numbers = key.public_key().public_numbers()
        e, n = (_base64url(number) for number in (numbers.e, numbers.n))
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self._key_id(), "e": e, "n": n}]}

    def _key_id(self) -> str:
        return hashlib.sha256(self._private_key().encode()).hexdigest()[:16]

    def _private_key(self) -> str:
        """Return the key as PEM. Raises OSError."""
        if not self._pem:
            if not self._path.exists():
                _make_key(self._path)
            self._pem = self._path.read_text(encoding="ascii")
        return self._pem


def _make_key(path: Path) -> None:
    """Generate the key's file. Raises OSError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = generate_private_key(65_537, KEY_BITS).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create_private(path, pem)


def _base64url(number: int) -> str:
    return encode_bytes(number.to_bytes((number.bit_length() + 7) // 8, "big"), "base64url")
