"""Keys for JWE in a secret's values: AES keys as in keys.py, PEM blocks, or JWKs, newest first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from functions.transform.crypto.keys import parse_key
from shared.errors import Permanent, Temporary
from shared.jsontext import Json

if TYPE_CHECKING:
    from joserfc.jwk import Key as JoseKey


@dataclass(frozen=True, slots=True)
class JweKey:
    """`id` is the key's own, or its thumbprint (RFC 7638), which a public key shares with its private one."""

    id: str
    key: "JoseKey" = field(repr=False)

    def algorithm(self) -> str:
        """What it encrypts with unless the step says otherwise: a content key of its own for each message."""
        if self.key.key_type == "RSA":
            return "RSA-OAEP-256"
        return f"A{self.bits()}KW" if self.key.key_type == "oct" else "ECDH-ES+A256KW"

    def bits(self) -> int:
        """Of a symmetric key; 256 of any other, which wraps as long a key as it is told to."""
        raw = self.key.raw_value
        return len(raw) * 8 if isinstance(raw, bytes) else 256


@lru_cache(maxsize=16)
def parse_jwe_keys(name: str, values: tuple[str, ...]) -> tuple[JweKey, ...]:
    """`name` is the secret's. Raises Temporary (`secret_weak`): an operator may still mend it."""
    return tuple(_parsed(name, number, value) for number, value in enumerate(values, 1))


def candidates(keys: Sequence[JweKey], wanted: Json) -> list[JweKey]:
    """All of them where the header names none. Raises Permanent (`key`)."""
    found = [key for key in keys if wanted is None or key.id == wanted]
    if not found:
        raise Permanent("key", "it was encrypted under a key id that the secret does not have")
    return found


def _parsed(name: str, number: int, value: str) -> JweKey:
    from joserfc.errors import JoseError

    try:
        if value.startswith("-----BEGIN "):
            return _of_pem(value)
        if value.startswith("{"):
            return _of_jwk(json.loads(value))
    except (JoseError, ValueError, TypeError, KeyError) as error:  # from None: its words may hold the key
        how = type(error).__name__
        raise Temporary("secret_weak", f"secret {name!r}: value {number} is no key that JWE takes: {how}") from None
    key = parse_key(name, number, value)
    return _of_octets(key.id, key.content)


def _of_octets(key_id: str, content: bytes) -> JweKey:
    from joserfc.jwk import OctKey

    return JweKey(key_id, OctKey.import_key(content))


def _of_pem(text: str) -> JweKey:
    from joserfc.errors import InvalidKeyTypeError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = kind.import_key(text)
        except InvalidKeyTypeError:
            continue
        return JweKey(key.thumbprint(), key)
    raise ValueError("neither RSA, nor EC, nor OKP")


def _of_jwk(document: Json) -> JweKey:
    from joserfc.jwk import import_key

    if not isinstance(document, dict):
        raise ValueError("a JWK is an object")
    key = import_key({name: value for name, value in document.items() if isinstance(value, str)})
    return JweKey(str(document.get("kid") or key.thumbprint()), key)
