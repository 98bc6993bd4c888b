"""Digests by name: hashes, HMACs with them, and CRC-32."""

import hashlib
import hmac
import zlib
from base64 import b64encode
from typing import Final, Literal, get_args

Algorithm = Literal[
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "blake2b",
    "blake2s",
    "crc32",
]
Writing = Literal["hex", "base64"]
_HASHES: Final = {name: name.replace("-", "_") for name in get_args(Algorithm) if name != "crc32"}


def digest(algorithm: Algorithm, content: bytes, key: bytes | None) -> bytes:
    """With a key (not for crc32) the HMAC."""
    if algorithm == "crc32":
        return zlib.crc32(content).to_bytes(4, "big")
    name = _HASHES[algorithm]
    if key is not None:
        return hmac.digest(key, content, name)
    return hashlib.new(name, content, usedforsecurity=False).digest()


def written(value: bytes, writing: Writing) -> str:
    return value.hex() if writing == "hex" else b64encode(value).decode("ascii")
