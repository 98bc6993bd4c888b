"""Encryption: the keys, and the two forms of encrypted values.

The keys are the values of a secret. The first, which is the newest, encrypts; all of them decrypt. An AES key is
`[key id:]key`, where the key is 16, 24 or 32 bytes in hex, base64 or base64url (`openssl rand -base64 32`). The id of a
key without one is made of its hash, so that a new key is only one more line. For JWE, a key can also be a PEM block or
a JWK.

Sealed text is `hc1.<key id>.<nonce>.<ciphertext and tag>`, the last two in base64url. The additional authenticated data
is the canonical JSON of `["hc1", key id, context, place]`, so that a value can only be decrypted in its place and under
the context that the step declares.
"""

import binascii
import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar, get_args

from shared.errors import Permanent, Temporary
from shared.jsontext import Json, JsonObject, canonical, decode_base64url
from shared.signatures.signing import decode_bytes, encode_bytes
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry
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
    try:
        return decode_base64url(text.replace("+", "-").replace("/", "_"))
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


# Sealed text, which is made by AES-GCM (NIST SP 800-38D)

# The usual sizes of AES-GCM (NIST SP 800-38D).
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_VERSION: Final = "hc1"


@dataclass(frozen=True, slots=True)
class Binding:
    """The context and the place that a sealed value is bound to, such as `data.cards[0].number`."""

    context: str
    place: str

    def authenticated_data(self, key_id: str) -> bytes:
        return canonical([_VERSION, key_id, self.context, self.place])


def seal(plaintext: bytes, key: Key, binding: Binding, nonce: bytes) -> str:
    """Return the sealed text. The nonce is 12 bytes, and must never be used twice under one key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ciphertext = AESGCM(key.content).encrypt(nonce, plaintext, binding.authenticated_data(key.id))
    return ".".join([_VERSION, key.id, encode_bytes(nonce, "base64url"), encode_bytes(ciphertext, "base64url")])


def unseal(sealed: str, keys: Sequence[Key], binding: Binding) -> bytes:
    """Return the plaintext. Raises Permanent: `unknown_key` for an unknown key id, `cryptography_failed` for any other
    failure."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, _, rest = sealed.partition(".")
    parts = rest.split(".")
    if version != _VERSION or len(parts) != 3:
        raise Permanent("cryptography_failed", f"{binding.place} is not sealed text")
    key_id, nonce, ciphertext = parts[0], _bytes(parts[1], binding), _bytes(parts[2], binding)
    if len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
        raise Permanent(
            "cryptography_failed", f"{binding.place} is sealed text whose nonce or tag has the wrong length"
        )
    for key in keys_with_id(keys, key_id):
        try:
            return AESGCM(key.content).decrypt(nonce, ciphertext, binding.authenticated_data(key_id))
        except InvalidTag:
            continue
    reason = "changed, moved from its place, or sealed under another context or key"
    raise Permanent("cryptography_failed", f"{binding.place} cannot be decrypted: it was {reason}")


def _bytes(text: str, binding: Binding) -> bytes:
    """Decode base64url. Raises Permanent for a text that no encoder writes, so that no two texts have one value."""
    try:
        content = decode_bytes(text, "base64url")
    except ValueError:
        content = b""
    if encode_bytes(content, "base64url") != text:
        raise Permanent("cryptography_failed", f"{binding.place} is sealed text that is damaged")
    return content


# JWE: JSON Web Encryption in its compact form (RFC 7516), by joserfc, for exchange with other systems. Only the
# algorithms listed here are accepted, whatever a header says: no RSA1_5, no passwords (PBES2), and no compression, by
# which a few bytes could become many.

Algorithm = Literal[
    "dir",
    "A128KW",
    "A192KW",
    "A256KW",
    "A128GCMKW",
    "A192GCMKW",
    "A256GCMKW",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
_ENCRYPTIONS: Final = ("A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512")
_HEADERS: Final = frozenset({"alg", "enc", "kid", "typ", "cty", "epk", "apu", "apv", "iv", "tag"})
_MAX_HEADER: Final = 4_096
"""The most characters of the header of a JWE."""


class Decrypted(NamedTuple):
    """A decrypted value. `is_json` says that it is JSON, as the header of a JWE can state (`cty: json`)."""

    plaintext: bytes
    is_json: bool


def encrypt_jwe(plaintext: bytes, key: JweKey, algorithm: str | None) -> str:
    """Return a JWE of the plaintext. Raises Permanent (`cryptography_failed`) if the key does not fit the algorithm."""
    from joserfc.errors import JoseError
    from joserfc.jwe import encrypt_compact

    chosen = algorithm or key.algorithm()
    header: dict[str, object] = {"alg": chosen, "enc": f"A{key.bits()}GCM", "kid": key.id, "cty": "json"}
    try:
        return encrypt_compact(header, plaintext, key.key, registry=_registry(ALGORITHMS))
    except (JoseError, ValueError) as error:
        raise Permanent(
            "cryptography_failed", f"the key does not encrypt by {chosen}: {type(error).__name__}"
        ) from None


def decrypt_jwe(text: str, keys: Sequence[JweKey], place: str, algorithms: Collection[str]) -> Decrypted:
    """Return what a JWE encrypts.

    Raises Permanent: `unknown_key` for an unknown key id, `cryptography_failed` for any other text that cannot be
    decrypted or is not accepted.
    """
    header = _header(text, place)
    _verify_header(header, place, algorithms)
    for key in keys_with_id(keys, header.get("kid")):
        plaintext = _try_decrypt(text, key, algorithms)
        if plaintext is not None:
            return Decrypted(plaintext, header.get("cty") == "json")
    raise Permanent(
        "cryptography_failed", f"{place} cannot be decrypted: it was changed, or encrypted under another key"
    )


def _try_decrypt(text: str, key: JweKey, algorithms: Collection[str]) -> bytes | None:
    """Return the plaintext; None if the key does not decrypt the text."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap
    from joserfc.errors import JoseError
    from joserfc.jwe import decrypt_compact

    try:
        return decrypt_compact(text, key.key, registry=_registry(algorithms)).plaintext
    except (JoseError, InvalidTag, InvalidUnwrap, ValueError, TypeError, KeyError, AttributeError):
        return None  # the library does not foresee all faults of headers and segments


def _header(text: str, place: str) -> JsonObject:
    """Return the header of a JWE, which nothing has verified. Raises Permanent (`cryptography_failed`)."""
    encoded_header = text.partition(".")[0]
    try:
        if not text.isascii() or text.count(".") != 4 or len(encoded_header) > _MAX_HEADER:
            raise ValueError
        header: Json = json.loads(decode_base64url(encoded_header))
    except (ValueError, RecursionError):
        raise Permanent("cryptography_failed", f"{place} is not a JWE in compact form") from None
    if not isinstance(header, dict):
        raise Permanent("cryptography_failed", f"{place} is not a JWE: its header is not an object")
    return header


def _verify_header(header: JsonObject, place: str, algorithms: Collection[str]) -> None:
    """Raise Permanent (`cryptography_failed`) for a header that is not accepted."""
    if header.get("alg") not in algorithms or header.get("enc") not in _ENCRYPTIONS:
        raise Permanent("cryptography_failed", f"{place} is a JWE with an algorithm that is not accepted")
    if header.keys() - _HEADERS:
        raise Permanent(
            "cryptography_failed", f"{place} is a JWE with a header that is not accepted, such as `zip` or `crit`"
        )
    if not isinstance(header.get("kid", ""), str):
        raise Permanent("cryptography_failed", f"{place} is a JWE whose key id is not text")


def _registry(algorithms: Collection[str]) -> "JWERegistry":
    """Return the accepted algorithms, with limits that fit documents. The library's own limits fit tokens."""
    from joserfc.jwe import JWERegistry

    registry = JWERegistry(algorithms=[*algorithms, *_ENCRYPTIONS])
    registry.max_protected_header_length = _MAX_HEADER
    registry.max_ciphertext_length = 2 * MAX_OUTPUT_CHARACTERS
    return registry
