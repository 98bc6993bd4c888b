"""Sealed texts: AES-256-GCM, with a key that is named in the result, so that it can be rotated.

A text is sealed for a context, `<tenant>/<endpoint>`, and opens in no other: a document that somebody copied to
another endpoint gives nothing away. Keys are derived from the values of the secret `subscribers-key`: one for each
purpose, so that none opens another's texts.
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from shared.errors import Temporary
from shared.subscribers.model import SealedText

KEY_SECRET: Final = "subscribers-key"  # noqa: S105 a name
MIN_CHARACTERS: Final = 32
SEAL: Final = "seal"
"""The purpose of the keys that seal texts."""
NONCE_BYTES: Final = 12
"""The size of a nonce, as AES-GCM recommends it (NIST SP 800-38D)."""


def seal_context(tenant: str, endpoint: str) -> str:
    """Return what an endpoint's secrets are sealed for."""
    return f"{tenant}/{endpoint}"


def derived_key(value: str, purpose: str) -> bytes:
    """Return a key of 32 bytes, by HKDF-SHA256 without a salt (RFC 5869) from the value's text.

    The value is 32 random bytes in base64 or hex, or any text as long. Raises Temporary (`secret_unusable`).
    """
    if len(value) < MIN_CHARACTERS:
        rule = f"must have {MIN_CHARACTERS} characters at least, such as the output of `openssl rand -base64 32`"
        raise Temporary("secret_unusable", f"the secret {KEY_SECRET!r} {rule}; got {len(value)}")
    extracted = hmac.digest(bytes(32), value.encode(), "sha256")  # without a salt, the salt is zeros
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")  # the first block of the key, which is enough


class Sealer:
    """Seals and opens texts. `keys` are 32 bytes each, the newest first: it seals, and all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # Imported here, because it is needed only where there are subscribers.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._newest = key_id(keys[0])
        self._ciphers = {key_id(key): AESGCM(key) for key in reversed(keys)}  # of two with one id, the newer

    def seal(self, text: str, context: str, nonce: bytes) -> SealedText:
        """Return the sealed text. `nonce`: NONCE_BYTES at random, never twice."""
        assert len(nonce) == NONCE_BYTES
        content = self._ciphers[self._newest].encrypt(nonce, text.encode(), context.encode())
        return SealedText(key_id=self._newest, nonce=b64encode(nonce).decode(), content=b64encode(content).decode())

    def open(self, sealed: SealedText, context: str) -> str:
        """Return the text. Raises Temporary (`secret_unusable`): a key that is missing may come back."""
        from cryptography.exceptions import InvalidTag

        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            have = ", ".join(self._ciphers)
            detail = f"no value of the secret {KEY_SECRET!r} has the id {sealed.key_id}; got {have}. Add the value back"
            raise Temporary("secret_unusable", f"{detail} as a further line.")
        try:
            nonce = b64decode(sealed.nonce, validate=True)
            content = b64decode(sealed.content, validate=True)
            return cipher.decrypt(nonce, content, context.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            detail = f"a sealed text does not open: it is damaged, or was sealed for another than {context}"
            raise Temporary("secret_unusable", detail) from error


@lru_cache(maxsize=8)
def sealer_of(values: tuple[str, ...]) -> Sealer:
    """Return the sealer for the values of the secret with the keys, the same one until they change.

    Raises Temporary (`secret_unusable`).
    """
    return Sealer([derived_key(value, SEAL) for value in values])


def key_id(key: bytes) -> str:
    """Return the id of a key, which a sealed text has. It tells nothing about the key."""
    return hashlib.sha256(key).hexdigest()[:8]
