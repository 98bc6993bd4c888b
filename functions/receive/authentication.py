"""Whether a request comes from whom the source trusts.

What stands in the head (a password, a token) is checked before the body is read; signatures are checked over the raw
body before anything is parsed.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote

from shared.signatures.passwords import verify_password

from functions.receive.admission import source_name
from functions.receive.sources import Auth
from shared.errors import Rejected
from shared.http import Request
from shared.signatures.macs import verify_hmac
from shared.signatures.standard_webhooks import verify_standard

SIGNED: Final = frozenset({"hmac", "standard-webhooks"})

SecretValues = Mapping[str, Sequence[str]]


def verify_head(request: Request, auth: Sequence[Auth], secrets: SecretValues, now: float) -> bool:
    """True where the head alone proves the sender; False where the body's signature still has to.

    Raises Rejected (`password`) where no way in is left.
    """
    refusal: Rejected | None = None
    for way in auth:
        if way.scheme in SIGNED:
            continue
        try:
            _verify_way(request, way, secrets, now)
        except Rejected as error:
            refusal = error
        else:
            return True
    if refusal and all(way.scheme not in SIGNED for way in auth):
        raise refusal
    return False


def verify_body(request: Request, auth: Sequence[Auth], secrets: SecretValues, now: float) -> None:
    """Raises Rejected: `sig`, `ts` or `id`."""
    refusal = Rejected("sig", "the source takes no signature")
    for way in auth:
        if way.scheme not in SIGNED:
            continue
        try:
            _verify_signature(request, way, secrets[way.secret], now)
        except Rejected as error:
            refusal = error
        else:
            return
    raise refusal


def _verify_signature(request: Request, way: Auth, secrets: Sequence[str], now: float) -> None:
    if way.scheme == "hmac":
        header = request.header(way.header)
        verify_hmac(header, request.body, secrets, way.algorithm, way.encoding, way.prefix)
        return
    verify_standard(
        request.header("webhook-id"),
        request.header("webhook-timestamp"),
        request.header("webhook-signature"),
        request.body,
        secrets,
        now,
        way.tolerance_seconds,
    )


def _verify_way(request: Request, way: Auth, secrets: SecretValues, now: float) -> None:
    match way.scheme:
        case "none":
            return
        case "basic":
            user, given = basic_credentials(request.header("authorization"))
            verify_password(given, secrets[way.secret])
            if way.username is not None:
                verify_password(user, (way.username,))
        case "header":
            verify_password(request.header(way.header), secrets[way.secret])
        case "bearer":
            verify_password(bearer_token(request.header("authorization")), secrets[way.secret])
        case "path":
            verify_password(path_token(request.path), secrets[way.secret])
        case "query":
            verify_password(dict(parse_qsl(request.query)).get(way.parameter), secrets[way.secret])
        case "link":
            from functions.receive.link import verify_link  # where links are taken only

            verify_link(source_name(request.path), request.query, secrets[way.secret], now)
        case other:  # the compiler lets no other through
            raise Rejected("password", f"unknown scheme {other!r}")


def basic_credentials(header: str | None) -> tuple[str | None, str | None]:
    """User and password (RFC 7617, UTF-8), or two times None."""
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
    """`/<source>/<token>`"""
    parts = path.split("/")
    return unquote(parts[2]) if len(parts) == 3 and parts[2] else None
