"""The keys of encryption, which are the values of a secret.

The first, which is the newest, encrypts; all of them decrypt. An AES key is `[key id:]key`, where the key is 16, 24 or
32 bytes in hex, base64 or base64url (`openssl rand -base64 32`). The id of a key without one is made of its hash, so
that a new key is only one more line. For JWE, a key can also be a PEM block or a JWK.
"""

import binascii
import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from shared.errors import Permanent, Temporary
from shared.jsontext import Json

if TYPE_CHECKING:
    from joserfc.jwk import Key as JoseKey


_VALUE: Final = re.compile(r"(?:([A-Za-z0-9_-]{1,64}):)?([A-Za-z0-9+/_-]+)={0,2}")
"""A value of the secret: a key id and a colon, if the key has an id, and the key."""
_HEX: Final = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{48}|[0-9a-f]{64})")
_KEY_BYTES: Final = (16, 24, 32)


@dataclass(frozen=True, slots=True)
class Key:
    """An AES key."""

    id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JweKey:
    """A key for JWE. `id` is the key's own id, or its thumbprint (RFC 7638), which a public and private key share."""

    id: str
    key: "JoseKey" = field(repr=False)

    def algorithm(self) -> str:
        """Return the default algorithm, which makes a new content key for each message."""
        if self.key.key_type == "RSA":
            return "RSA-OAEP-256"
        if self.key.key_type == "oct":
            return f"A{self.bits()}KW"
        return "ECDH-ES+A256KW"

    def bits(self) -> int:
        """Return the length of a symmetric key; 256 for any other key, which encrypts a content key of any length."""
        raw = self.key.raw_value
        return len(raw) * 8 if isinstance(raw, bytes) else 256


AnyKey = TypeVar("AnyKey", Key, JweKey)


def parse_keys(name: str, values: Sequence[str]) -> tuple[Key, ...]:
    """Return the AES keys in the values of the secret `name`. Raises Temporary (`secret_weak`), because an operator can
    still correct the secret."""
    return tuple(_parse_key(name, number, value) for number, value in enumerate(values, 1))


@lru_cache(maxsize=16)
def parse_jwe_keys(name: str, values: tuple[str, ...]) -> tuple[JweKey, ...]:
    """Return the keys for JWE in the values of the secret `name`. Raises Temporary (`secret_weak`)."""
    return tuple(_parse_jwe_key(name, number, value) for number, value in enumerate(values, 1))


def keys_with_id(keys: Sequence[AnyKey], wanted: Json) -> list[AnyKey]:
    """Return the keys with this id; for null, all keys. Raises Permanent (`unknown_key`) if there is none."""
    possible_keys = [key for key in keys if wanted is None or key.id == wanted]
    if not possible_keys:
        raise Permanent("unknown_key", "it was encrypted under a key id that the secret does not have")
    return possible_keys


def key_id(content: bytes) -> str:
    """Return the id of a key that has none of its own."""
    return hashlib.sha256(b"hookchain key id\0" + content).hexdigest()[:8]


def _parse_key(name: str, number: int, value: str) -> Key:
    match = _VALUE.fullmatch(value)
    content = _content(match[2]) if match else b""
    if match is None or len(content) not in _KEY_BYTES:
        how = "make one with `openssl rand -base64 32`; a key id may precede it, such as `2026-03:`"
        raise Temporary("secret_weak", f"secret {name!r}: value {number} is no AES key of 16, 24 or 32 bytes: {how}")
    return Key(match[1] or key_id(content), content)


def _content(text: str) -> bytes:
    """Return the bytes of a key in hex, base64 or base64url; no bytes for a text that is none of these."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    base64url = text.replace("+", "-").replace("/", "_")
    try:
        return urlsafe_b64decode(base64url + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def _parse_jwe_key(name: str, number: int, value: str) -> JweKey:
    """Return the key in value `number` of the secret `name`. Raises Temporary (`secret_weak`)."""
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    try:
        if value.startswith("-----BEGIN "):
            return _key_from_pem(value)
        if value.startswith("{"):
            return _key_from_jwk(json.loads(value))
    except (JoseError, ValueError, TypeError, KeyError) as error:  # from None: its text may hold the key
        how = type(error).__name__
        raise Temporary("secret_weak", f"secret {name!r}: value {number} is not a key for JWE: {how}") from None
    key = _parse_key(name, number, value)
    return JweKey(key.id, OctKey.import_key(key.content))


def _key_from_pem(text: str) -> JweKey:
    from joserfc.errors import InvalidKeyTypeError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = kind.import_key(text)
        except InvalidKeyTypeError:
            continue
        return JweKey(key.thumbprint(), key)
    raise ValueError("neither RSA, nor EC, nor OKP")


def _key_from_jwk(document: Json) -> JweKey:
    from joserfc.jwk import import_key

    if not isinstance(document, dict):
        raise ValueError("a JWK is an object")
    key = import_key({name: value for name, value in document.items() if isinstance(value, str)})
    return JweKey(str(document.get("kid") or key.thumbprint()), key)
