"""Sealed text, which is made by AES-GCM (NIST SP 800-38D).

It is `hc1.<key id>.<nonce>.<ciphertext and tag>`, the last two in base64url. The additional authenticated data is the
canonical JSON of `["hc1", key id, context, place]`, so that a value can only be decrypted in its place and under the
context that the step declares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.transform.encryption.keys import Key, keys_with_id
from shared.errors import Permanent
from shared.jsontext import canonical
from shared.signatures.signing import decode_bytes, encode_bytes

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
