"""How a sender proves itself: the headers that carry a secret, or a signature made with it."""

import base64
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from shared.errors import Temporary
from shared.signatures.macs import ALGORITHMS, ENCODINGS, hmac_signature
from shared.signatures.standard_webhooks import sign_standard

Headers: TypeAlias = list[tuple[str, str]]

_PRINTABLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_WEBHOOK_ID: Final = re.compile(r"[!-\-/-~]{1,128}")


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
    """`Authorization: Bearer`, and the secret as token."""


@dataclass(frozen=True, slots=True)
class Hmac:
    """HMAC of the body in a header, such as `Hmac("X-Hub-Signature-256", prefix="sha256=")`."""

    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """A signature over id, time and body; the secret is `whsec_` and base64. https://www.standardwebhooks.com"""


Auth: TypeAlias = Password | Basic | Bearer | Hmac | StandardWebhooks


def default_auth(secret: str) -> Auth:
    """A signing key is never sent; any other secret is a password."""
    return StandardWebhooks() if secret.startswith("whsec_") else Password()


def auth_headers(auth: Auth, secret: str, body: bytes, delivery_id: str, now: float) -> Headers:
    """Raises ValueError for a secret that the way cannot use; its text never holds the secret."""
    if not secret:
        raise ValueError("the secret is empty")
    match auth:
        case Password(header):
            return [(header, _in_header(secret))]
        case Basic(user):
            if ":" in user:
                raise ValueError("the user name of basic authentication holds no colon")
            return [("Authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())]
        case Bearer():
            return [("Authorization", "Bearer " + _in_header(secret))]
        case Hmac(header, algorithm, encoding, prefix):
            _known("algorithm", algorithm, ALGORITHMS)
            _known("encoding", encoding, ENCODINGS)
            return [(header, hmac_signature(body, secret, algorithm, encoding, prefix))]
        case StandardWebhooks():
            return _standard(secret, body, delivery_id, int(now))


def _standard(secret: str, body: bytes, delivery_id: str, timestamp: int) -> Headers:
    try:
        signature = sign_standard(secret, delivery_id, timestamp, body)
    except Temporary as error:
        raise ValueError(error.detail) from error
    return [("webhook-timestamp", str(timestamp)), ("webhook-signature", signature)]


def checked_delivery_id(text: str) -> str:
    if not _WEBHOOK_ID.fullmatch(text):
        raise ValueError("a delivery id is 1 to 128 printable characters, without white space and full stops")
    return text


def _in_header(secret: str) -> str:
    if not _PRINTABLE.fullmatch(secret):
        raise ValueError("the secret holds characters that a header cannot carry; use printable ASCII")
    return secret


def _known(word: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"there is no {word} {name!r}; there are: {', '.join(known)}")
