"""Auth schemes of a sender: the headers that carry a secret, or a signature made with it."""

import base64
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from .signing import ALGORITHMS, ENCODINGS, hmac_signature, standard_content, standard_signature

Headers: TypeAlias = list[tuple[str, str]]

SIGNING_KEYS: Final = ("whsec_", "whsk_", "v1,whsec_")
"""The beginnings of the keys of Standard Webhooks."""
_PRINTABLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
"""Printable ASCII without a space at its beginning or end, where a receiver would remove it."""
_WEBHOOK_ID: Final = re.compile(r"[!-\-/-~]{1,128}")
"""Printable ASCII without a full stop, which separates the id from the time in what Standard Webhooks signs."""


@dataclass(frozen=True, slots=True)
class Password:
    """The secret itself, in a header of its own."""

    header: str = "X-Webhook-Password"


@dataclass(frozen=True, slots=True)
class Basic:
    """Basic authentication: this user, and the secret as password."""

    user: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer`, with the secret as token."""


@dataclass(frozen=True, slots=True)
class Hmac:
    """An HMAC of the body in a header, such as `Hmac("X-Hub-Signature-256", prefix="sha256=")`.

    algorithm     sha256, sha512, sha384, sha1 or md5
    encoding      hex, base64, base64url or base64-of-hex
    """

    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """A signature over id, time and body; the secret is `whsec_` or `whsk_` and base64. https://www.standardwebhooks.com"""


Auth: TypeAlias = Password | Basic | Bearer | Hmac | StandardWebhooks


def default_auth(secret: str) -> Auth:
    """Return the scheme for a secret given alone: a signing key is never sent, any other secret is a password."""
    return StandardWebhooks() if secret.startswith(SIGNING_KEYS) else Password()


def auth_headers(auth: Auth, secret: str, body: bytes, delivery_id: str, now: float) -> Headers:
    """Return the headers that authenticate this body. `now` is in Unix seconds.

    Raises ValueError for a secret that the scheme cannot use; its text never holds the secret.
    """
    if not secret:
        raise ValueError("secret: must not be empty")
    match auth:
        case Password(header):
            return [(header, _header_value(secret))]
        case Basic(user):
            if ":" in user:
                raise ValueError("user of basic authentication: must not contain a colon")
            return [("Authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())]
        case Bearer():
            return [("Authorization", "Bearer " + _header_value(secret))]
        case Hmac(header, algorithm, encoding, prefix):
            _require_known("algorithm", algorithm, ALGORITHMS)
            _require_known("encoding", encoding, ENCODINGS)
            return [(header, hmac_signature(body, secret, algorithm, encoding, prefix))]
        case StandardWebhooks():
            content = standard_content(delivery_id.encode("ascii"), int(now), body)
            return [("webhook-timestamp", str(int(now))), ("webhook-signature", standard_signature(content, secret))]


def checked_delivery_id(text: str) -> str:
    """Return the delivery id as it is. Raises ValueError for one that no header or signature can have."""
    if not _WEBHOOK_ID.fullmatch(text):
        raise ValueError("delivery_id: must be 1 to 128 printable ASCII characters without spaces and full stops")
    return text


def _header_value(secret: str) -> str:
    """Return the secret as it is. Raises ValueError for one that no header can carry."""
    if not _PRINTABLE.fullmatch(secret):
        raise ValueError("secret: must be printable ASCII to be sent in a header")
    return secret


def _require_known(setting: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"{setting}: must be one of {', '.join(known)}; got {name!r}")
