"""Samples with one thing wrong, so that you see a rejection before a real sender causes one."""

from dataclasses import replace
from typing import Final, Literal

from deploy.requests.signing import TOKEN_SECONDS, Signer
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, TimedScheme
from shared.signatures.edits import with_header
from shared.signatures.jwt import JwtScheme

Break = Literal["signature", "clock", "body"]
BREAKS: Final[tuple[Break, ...]] = ("signature", "clock", "body")

_LATE_SECONDS: Final = 60
_CUT_OFF: Final = b'{"cut off": '


def unbreakable_reason(what: Break, auth: AuthScheme) -> str | None:
    """Return why that cannot be broken with this auth scheme; None where it can."""
    if what == "signature" and auth.scheme == "none":
        return "this source needs no authentication, so none can be wrong"
    if what == "clock" and not (isinstance(auth, TimedScheme) and auth.signs_time):
        return "this auth scheme signs no time, so none can be wrong"
    return None


def broken_signer(what: Break | None, signer: Signer) -> Signer:
    """Return a signer whose time is past the tolerance for `clock`; else the same signer."""
    auth = signer.auth
    if what != "clock" or not isinstance(auth, TimedScheme):
        return signer
    late_seconds = auth.tolerance_seconds + (TOKEN_SECONDS if isinstance(auth, JwtScheme) else 0) + _LATE_SECONDS
    return replace(signer, now=signer.now - late_seconds)


def broken_request(what: Break | None, auth: AuthScheme, request: Request) -> Request:
    """Return a request that is not what was signed for `body`; an unsigned body becomes one that does not parse."""
    if what != "body":
        return request
    if not auth.signs_content:
        return with_header(replace(request, body=_CUT_OFF), "content-type", "application/json")
    return replace(request, body=request.body[: len(request.body) // 2])
