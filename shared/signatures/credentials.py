"""Passwords and tokens: the secret itself, sent along in the head of a request or in its body."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import unquote

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.macs import matches_any
from shared.signatures.reading import Reading
from shared.signatures.scheme import AuthScheme


def verify_password(given: str | None, secrets: Sequence[str]) -> None:
    """Raises Rejected (`password_mismatch`)."""
    if given is None:
        raise Rejected("password_mismatch", "the request has no password or token where this source takes it")
    if not matches_any([given], secrets):
        raise Rejected("password_mismatch", "the password or token is not this source's")


def verify_credentials(reading: Reading, auth: AuthScheme, secrets: Sequence[str]) -> None:
    """Verify the schemes none, basic, header, bearer, path, query and token. Raises Rejected (`password_mismatch`)."""
    request = reading.request
    match auth.scheme:
        case "none":
            return
        case "basic":
            _verify_basic(request, auth, secrets)
        case "header":
            verify_password(request.header(auth.header), secrets)
        case "bearer":
            verify_password(bearer_token(request.header("authorization")), secrets)
        case "path":
            verify_password(path_token(request.path), secrets)
        case "query":
            verify_password(reading.query().get(auth.parameter), secrets)
        case "token":
            _verify_tokens(reading, auth, secrets)
        case other:  # the compiler lets no other through
            raise Rejected("password_mismatch", f"unknown scheme {other!r}")


def _verify_basic(request: Request, auth: AuthScheme, secrets: Sequence[str]) -> None:
    user, given = basic_credentials(request.header("authorization"))
    verify_password(given, secrets)
    if auth.username is not None:
        verify_password(user, (auth.username,))


def _verify_tokens(reading: Reading, auth: AuthScheme, secrets: Sequence[str]) -> None:
    """Verify the token at each place of the path: one item with another token would pass among the rest."""
    assert auth.at
    texts = reading.data_texts(auth.at) if auth.at.kind == "data" else [reading.text(auth.at)]
    if not texts:
        raise Rejected("password_mismatch", "the body holds no item, and so no token")
    for text in texts:
        has_prefix = text is not None and text.startswith(auth.prefix)
        verify_password(text[len(auth.prefix) :] if text is not None and has_prefix else None, secrets)


def basic_credentials(header: str | None) -> tuple[str | None, str | None]:
    """Return user and password (RFC 7617, UTF-8), or twice None."""
    scheme, _, blob = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, colon, password = base64.b64decode(blob.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None, None
    return (user, password) if colon else (None, None)


def bearer_token(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def path_token(path: str) -> str | None:
    """Return the text after the source's name."""
    parts = path.split("/")
    return unquote(parts[2]) if len(parts) == 3 and parts[2] else None
