"""The keys of HMACs and plain digests, and the comparison of their texts in constant time.

What a sender wrote is not decoded. It is compared with what it should be, which shared/signatures/signing.py makes.
"""

import hmac
from collections.abc import Iterable, Sequence

from shared.errors import Temporary
from shared.signatures.signing import decoded


def shared_key(secret: str, key: str = "utf8", prefix: str = "") -> bytes:
    """Return the key of an HMAC or digest. `key` is utf8, base64 or hex. Raises Temporary (`secret_unusable`)."""
    text = secret.removeprefix(prefix)
    if key == "utf8":
        return text.encode()
    try:
        found = decoded(text, key)
    except ValueError as error:
        raise unusable(f"the secret is not {key}, as this scheme's key is") from error
    if not found:
        raise unusable("the secret holds an empty key")
    return found


def unusable(detail: str) -> Temporary:
    """Return the error for a secret that is no key: an operator's fault, never a sender's."""
    return Temporary("secret_unusable", detail)


def matches_any(given: Sequence[str], expected: Iterable[str]) -> bool:
    """Return whether a given text is one of the expected, in time that does not tell which."""
    found = False
    for wanted in expected:
        for text in given:
            found |= hmac.compare_digest(text.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
    return found
