"""The keys that are derived from the secret `subscribers-key`: one for each purpose, so that none opens another's."""

import hmac
from typing import Final

from shared.errors import Temporary

KEY_SECRET: Final = "subscribers-key"  # noqa: S105 a name
MIN_CHARACTERS: Final = 32
SEAL: Final = "seal"
"""The purpose of the keys that sealing.py has."""


def seal_context(tenant: str, endpoint: str) -> str:
    """Return what an endpoint's secrets are sealed for: see sealing.py."""
    return f"{tenant}/{endpoint}"


def derived_key(value: str, purpose: str) -> bytes:
    """Return a key of 32 bytes, by HKDF-SHA256 without a salt (RFC 5869) from the value's text.

    The value is 32 random bytes in base64 or hex, or any text as long. Raises Temporary (`secret_unusable`).
    """
    if len(value) < MIN_CHARACTERS:
        rule = f"must have {MIN_CHARACTERS} characters at least, such as the output of `openssl rand -base64 32`"
        raise Temporary("secret_unusable", f"the secret {KEY_SECRET!r} {rule}; got {len(value)}")
    extracted = hmac.digest(bytes(32), value.encode(), "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")
