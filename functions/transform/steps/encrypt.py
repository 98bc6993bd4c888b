"""Encryption: encrypt data and decrypt it.

The keys are the values of a secret. The first, which is the newest, encrypts; all of them decrypt. An AES key is
`[key id:]key`, where the key is 16, 24 or 32 bytes in hex, base64 or base64url (`openssl rand -base64 32`). The id of a
key without one is made of its hash, so that a new key is only one more line. For JWE, a key can also be a PEM block or
a JWK.

Sealed text is made by AES-GCM (NIST SP 800-38D). It is `hc1.<key id>.<nonce>.<ciphertext and tag>`, the last two in
base64url. The additional authenticated data is the canonical JSON of `["hc1", key id, context, place]`, so that a value
can only be decrypted in its place and under the context that the step declares.

JWE is JSON Web Encryption in its compact form (RFC 7516), by joserfc, for exchange with other systems. Only the
algorithms listed here are accepted, whatever a header says: no RSA1_5, no passwords (PBES2), and no compression, by
which a few bytes could become many.
"""

import binascii
import hashlib
import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, NamedTuple, TypeVar, get_args

from functions.transform.paths import (
    Change,
    DataPath,
    MaybeJson,
    Missing,
    MissingPaths,
    Path,
    parse_path,
    text_or_bytes,
    update_value,
)
from functions.transform.step import AskingStep, Example, Noted, Services, Settings, StepContext
from shared.config.rules import LISTED, SecretName, limits
from shared.errors import Permanent, Rejected, Temporary
from shared.event import Event
from shared.formats.parse import parse_as
from shared.jsontext import Json, JsonObject, canonical, to_json
from shared.signatures.signing import decode_bytes, encode_bytes
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry
    from joserfc.jwk import Key as JoseKey


# Keys

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


# Sealed text

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


# JWE

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
        padding = "=" * (-len(encoded_header) % 4)
        header: Json = json.loads(urlsafe_b64decode(encoded_header + padding))
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


JWE_TYPE = "application/jose"

# The steps

_PLAIN: Json = {"name": "Ada", "iban": "GB33BUKB20201555555555"}
_ENCRYPTED: Json = {
    "name": "Ada",
    "iban": "hc1.2026-03.AAECAwQFBgcICQoL.ZUWUKPanl1DPc6e5gdhNWLbjsgHFTmpeoFZ-KkhRXDeE0lEMzXKObg",
}
_SECRETS = {"field-keys": "2026-03:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}


class EncryptionSettings(Settings):
    """
    secret   the name of the keys, one per line, newest first. The newest encrypts; all of them decrypt. An AES key is
             16, 24 or 32 bytes in hex or base64, with an optional `key id:` before it; JWE also takes PEM blocks and
             JWKs
    paths    one path, or a list (default: all of `data`). A path without a value is skipped
    format   aes-gcm (default), or jwe for exchange with other systems
    context  aes-gcm: any text. A value can only be decrypted with the same context and in the same place, so that it
             cannot be moved to where it means something else
    """

    secret: SecretName
    paths: Annotated[Sequence[DataPath], LISTED, limits(min_length=1)] = ("data",)
    format: Literal["aes-gcm", "jwe"] = "aes-gcm"
    context: Annotated[str, limits(max_length=1_000)] = ""

    def prepare(self) -> None:
        if self.format == "jwe" and self.context:
            raise ValueError("`context` requires `format: aes-gcm`: a JWE has no standard place for it")
        self._paths = [parse_path(text) for text in self.paths]
        self._missing = MissingPaths()

    def change_each(self, event: Event, change: Change, datatype: str | None = None) -> Event | Noted:
        """Return the event with each value at `paths` changed.

        `datatype` is the content type of the data if all of it is changed.
        """
        before = event
        untouched: list[Path] = []

        def change_present(value: MaybeJson, place: str) -> MaybeJson:
            return value if isinstance(value, Missing) else change(value, place)

        for path in self._paths:
            data = update_value(event.data, path.parts, change_present)
            if data is event.data:
                untouched.append(path)
            event = event.with_data(data, None if path.parts else datatype)
        act = f"nothing is {type(self).__name__.lower()}ed there"  # encrypted, decrypted
        return self._missing.noted(event, before, untouched, act) if untouched else event

    def needs(self) -> tuple[str, ...]:
        return ("jwe",) if self.format == "jwe" else ("crypto",)


class Encrypt(EncryptionSettings, AskingStep):
    """Encrypt each value at `paths`, as JSON. The event's type, subject and actor stay readable.

    algorithm  jwe: an algorithm (default, by the kind of key: A256KW or as long as the key, RSA-OAEP-256, or
               ECDH-ES+A256KW)
    """

    summary: ClassVar[str] = "Encrypt all data or named fields with AES-GCM or JWE, with the newest key of a secret."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]},
        before=_PLAIN,
        after=_ENCRYPTED,
        secrets=_SECRETS,
        varies=True,
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")

    algorithm: Algorithm | None = None

    def prepare(self) -> None:
        super().prepare()
        if self.algorithm is not None and self.format != "jwe":
            raise ValueError("`algorithm` requires `format: jwe`")

    def removes(self) -> tuple[str, ...]:
        return tuple(self.paths)

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            newest_jwe_key = parse_jwe_keys(self.secret, values)[0]
            return self.change_each(
                event, lambda value, _: encrypt_jwe(to_json(value).encode(), newest_jwe_key, self.algorithm), JWE_TYPE
            )
        newest_key = parse_keys(self.secret, values)[0]

        def encrypt(value: Json, place: str) -> Json:
            return seal(to_json(value).encode(), newest_key, Binding(self.context, place), new_nonce())

        return self.change_each(event, encrypt)


def new_nonce() -> bytes:
    """Return a nonce from the kernel's random numbers.

    A counter could give the same nonce twice, after a process is forked, or is frozen and started twice. Of 2^32 random
    nonces, which are more than a key should ever have, two are equal with a probability of 2^-33, as NIST SP 800-38D,
    8.3, allows.
    """
    return os.urandom(NONCE_BYTES)


class Decrypt(EncryptionSettings, AskingStep):
    """Decrypt each text at `paths`. Text that is not encrypted, or was changed or moved, fails the step.

    algorithms  jwe: the accepted ones (default: AES key wrapping, AES-GCM key wrapping, dir, RSA-OAEP, ECDH-ES)
    """

    summary: ClassVar[str] = "Decrypt values that `encrypt`, or any sender of JWE, encrypted with a key of a secret."
    example: ClassVar[Example] = Example(
        settings={"secret": "field-keys", "paths": ["data.iban"]}, before=_ENCRYPTED, after=_PLAIN, secrets=_SECRETS
    )
    extras: ClassVar[tuple[str, ...]] = ("crypto", "jwe")

    algorithms: Annotated[list[Algorithm], LISTED, limits(min_length=1)] | None = None

    def prepare(self) -> None:
        super().prepare()
        if self.algorithms is not None and self.format != "jwe":
            raise ValueError("`algorithms` requires `format: jwe`")

    async def ask(self, event: Event, _: StepContext, services: Services) -> Event | Noted:
        values = await services.secrets.values(self.secret)
        if self.format == "jwe":
            jwe_keys = parse_jwe_keys(self.secret, values)
            accepted = self.algorithms or ALGORITHMS

            def decrypt_from_jwe(value: Json, place: str) -> Json:
                return _value(decrypt_jwe(_text(value, place), jwe_keys, place, accepted), place)

            return self.change_each(event, decrypt_from_jwe)
        keys = parse_keys(self.secret, values)

        def decrypt(value: Json, place: str) -> Json:
            plaintext = unseal(_text(value, place), keys, Binding(self.context, place))
            return _value(Decrypted(plaintext, is_json=True), place)

        return self.change_each(event, decrypt)


def _text(value: Json, place: str) -> str:
    """Return the value, which must be text. Raises Permanent (`cryptography_failed`)."""
    if not isinstance(value, str):
        raise Permanent("cryptography_failed", f"{place} is not encrypted: it is not text")
    return value


def _value(decrypted: Decrypted, place: str) -> Json:
    """Return the decrypted value; a text or bytes if it is not JSON. Raises Permanent (`cryptography_failed`)."""
    if not decrypted.is_json:
        return text_or_bytes(decrypted.plaintext)
    try:
        return parse_as("json", decrypted.plaintext, None).data
    except Rejected as error:
        raise Permanent("cryptography_failed", f"{place} holds a value that is not JSON: {error.detail}") from None
