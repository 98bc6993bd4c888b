"""The credentials of the API's callers: API keys, and signed texts such as portal tokens. Pure.

A portal token is a signed text of our own rather than a JWT: it has a single algorithm, so an attacker cannot choose
another, and it needs no library.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError

from shared.jsontext import base64url, decode_base64url
from shared.subscribers.model import Capability, Stored

PORTAL: Final = "portal"
"""The purpose of the keys that sign portal tokens."""
OVERLAP_SECONDS: Final = 86_400.0
"""The time for which a key or a secret is still used after a new one has taken its place."""
API_KEY: Final = re.compile(r"hck_([0-9a-z]{12})_([A-Za-z0-9_-]{43})")
TOKEN_PREFIX: Final = "hpt_"  # noqa: S105 what every token begins with
MAX_TOKEN_CHARACTERS: Final = 2_000
_SIGNED: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class ApiKeyText(NamedTuple):
    """The parts of an API key: the id of its document, and the digest of its secret."""

    id: str
    digest: str


def api_key_text(id: str, secret: bytes) -> str:
    """Return an API key. `id` has 12 lower-case letters and digits, `secret` 32 random bytes."""
    return f"hck_{id}_{base64url(secret)}"


def read_api_key(text: str) -> ApiKeyText | None:
    """Return the parts of an API key; None for a text that is not one."""
    key = API_KEY.fullmatch(text)
    return ApiKeyText(key[1], hashlib.sha256(key[2].encode()).hexdigest()) if key else None


class PortalToken(Stored):
    """The claims of a portal token, which is valid until `expires_at`."""

    tenant: str
    session: str
    capabilities: tuple[Capability, ...]
    issued_at: float
    expires_at: float


def signed_text(payload: bytes, key: bytes) -> str:
    """Return the payload and its HMAC-SHA256 as `<payload>.<signature>`, both in base64url."""
    return f"{base64url(payload)}.{base64url(hmac.digest(key, payload, 'sha256'))}"


def read_signed(text: str, keys: Sequence[bytes]) -> bytes | None:
    """Return the payload; None for a text that none of the keys has signed."""
    signed = _SIGNED.fullmatch(text)
    if signed is None:
        return None
    try:
        payload, signature = decode_base64url(signed[1]), decode_base64url(signed[2])
    except ValueError:
        return None
    # With all keys, so that the time does not tell which of them matches. And a signed text has one form only: base64
    # could be written in several.
    matches = [hmac.compare_digest(hmac.digest(key, payload, "sha256"), signature) for key in keys]
    return payload if any(matches) and text == f"{base64url(payload)}.{base64url(signature)}" else None


def portal_token_text(token: PortalToken, key: bytes) -> str:
    """Return the token that a portal's user gets, signed with the key."""
    return TOKEN_PREFIX + signed_text(token.model_dump_json().encode(), key)


def read_portal_token(text: str, keys: Sequence[bytes]) -> PortalToken | None:
    """Return the claims; None for a text that none of the keys has signed. They may have expired."""
    if not text.startswith(TOKEN_PREFIX) or len(text) > MAX_TOKEN_CHARACTERS:
        return None
    payload = read_signed(text.removeprefix(TOKEN_PREFIX), keys)
    try:
        return None if payload is None else PortalToken.model_validate_json(payload)
    except ValidationError:  # of a version to come
        return None
