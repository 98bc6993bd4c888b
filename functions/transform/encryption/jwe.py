"""JWE: JSON Web Encryption in its compact form (RFC 7516), by joserfc, for exchange with other systems.

Only the algorithms listed here are accepted, whatever a header says: no RSA1_5, no passwords (PBES2), and no
compression, by which a few bytes could become many.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from functions.transform.encryption.keys import JweKey, keys_with_id
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry

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
