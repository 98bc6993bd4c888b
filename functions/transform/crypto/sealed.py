"""Sealed text: `hc1.<key id>.<nonce>.<ciphertext and tag>`, AES-GCM (NIST SP 800-38D), the last two in base64url.

What is authenticated besides is the canonical JSON of `["hc1", key id, context, place]`, so that a sealed value opens
nowhere but in its place, under the context that the step declares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.transform.codings import DECODERS, ENCODERS, NotCoded
from functions.transform.crypto.keys import Key, keys_of_id
from shared.errors import Permanent
from shared.jsontext import canonical

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_VERSION: Final = "hc1"


@dataclass(frozen=True, slots=True)
class Binding:
    """`place` is where the value is, as `data.cards[0].number`."""

    context: str
    place: str

    def bytes_under(self, key_id: str) -> bytes:
        return canonical([_VERSION, key_id, self.context, self.place])


def seal(plaintext: bytes, key: Key, binding: Binding, nonce: bytes) -> str:
    """A nonce is 12 bytes, and never the same twice under one key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ciphertext = AESGCM(key.content).encrypt(nonce, plaintext, binding.bytes_under(key.id))
    return ".".join([_VERSION, key.id, _base64url(nonce), _base64url(ciphertext)])


def unseal(sealed: str, keys: Sequence[Key], binding: Binding) -> bytes:
    """Raises Permanent: `key` for an unknown key id, `crypto` for whatever was not sealed just so."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, _, rest = sealed.partition(".")
    parts = rest.split(".")
    if version != _VERSION or len(parts) != 3:
        raise Permanent("crypto", f"{binding.place} is no sealed text")
    key_id, nonce, ciphertext = parts[0], _bytes(parts[1], binding), _bytes(parts[2], binding)
    if len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
        raise Permanent("crypto", f"{binding.place} is sealed text with a nonce or a tag of another length")
    for key in keys_of_id(keys, key_id):
        try:
            return AESGCM(key.content).decrypt(nonce, ciphertext, binding.bytes_under(key_id))
        except InvalidTag:
            continue
    reason = "changed, moved from its place, or sealed under another context or key"
    raise Permanent("crypto", f"{binding.place} does not open: it was {reason}")


def _base64url(content: bytes) -> str:
    return str(ENCODERS["base64url"](content))


def _bytes(text: str, binding: Binding) -> bytes:
    try:
        return DECODERS["base64url"](text.encode())
    except NotCoded:
        raise Permanent("crypto", f"{binding.place} is sealed text that is damaged") from None
