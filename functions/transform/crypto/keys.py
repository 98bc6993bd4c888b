"""AES keys in a secret's values: the newest, first, encrypts; all decrypt.

A value is `[key id:]key`, the key 16, 24 or 32 bytes in hex, base64 or base64url (`openssl rand -base64 32`). A key
without an id has one made of its hash, so a new key is one more line and nothing else.
"""

import binascii
import hashlib
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.errors import Permanent, Temporary

_VALUE: Final = re.compile(r"(?:([A-Za-z0-9_-]{1,64}):)?([A-Za-z0-9+/_-]+)={0,2}")
_HEX: Final = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{48}|[0-9a-f]{64})")
_BYTES: Final = (16, 24, 32)


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    content: bytes = field(repr=False)


def parse_keys(name: str, values: Sequence[str]) -> tuple[Key, ...]:
    """`name` is the secret's. Raises Temporary (`secret_weak`): an operator may still mend it."""
    return tuple(parse_key(name, number, value) for number, value in enumerate(values, 1))


def parse_key(name: str, number: int, value: str) -> Key:
    """`number` counts the secret's values from 1. Raises Temporary, as parse_keys does."""
    found = _VALUE.fullmatch(value)
    content = _content(found[2]) if found else b""
    if found is None or len(content) not in _BYTES:
        how = "make one by `openssl rand -base64 32`; a key id may stand before it, as `2026-03:`"
        raise Temporary("secret_weak", f"secret {name!r}: value {number} is no AES key of 16, 24 or 32 bytes: {how}")
    return Key(found[1] or key_id(content), content)


def key_id(content: bytes) -> str:
    return hashlib.sha256(b"hookchain key id\0" + content).hexdigest()[:8]


def _content(text: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def keys_of_id(keys: Sequence[Key], wanted: str) -> list[Key]:
    """Raises Permanent (`key`)."""
    found = [key for key in keys if key.id == wanted]
    if not found:
        raise Permanent("key", "it was encrypted under a key id that the secret does not have")
    return found
