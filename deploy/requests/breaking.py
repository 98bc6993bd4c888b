"""Samples with one thing wrong, so that you see a rejection before a real sender causes one."""

from dataclasses import replace
from typing import Final, Literal

from deploy.requests.edits import with_header
from deploy.requests.signing import TOKEN_SECONDS, Signer
from shared.http import Request
from shared.signatures.scheme import AuthScheme

Break = Literal["signature", "clock", "body"]
BREAKS: Final[tuple[Break, ...]] = ("signature", "clock", "body")

_BODY_UNSIGNED: Final = frozenset({"none", "basic", "header", "bearer", "path", "query", "token"})
_LATE_SECONDS: Final = 60
_CUT_OFF: Final = b'{"cut off": '


def unbreakable_reason(what: Break, way: AuthScheme) -> str | None:
    """Return why that cannot be broken with this auth scheme; None where it can."""
    if what == "signature" and way.scheme == "none":
        return "this source needs no authentication, so none can be wrong"
    if what == "clock" and not signs_time(way):
        return "this auth scheme signs no time, so none can be wrong"
    return None


def signs_time(way: AuthScheme) -> bool:
    if way.scheme == "jwt":
        return True
    return way.timestamp is not None or way.scheme in {"standard-webhooks", "contentful", "aws-sns", "paypal"}


def broken_signer(what: Break | None, signer: Signer) -> Signer:
    """Return a signer whose time is past the tolerance for `clock`; else the same signer."""
    if what != "clock":
        return signer
    late_seconds = signer.way.tolerance_seconds + (TOKEN_SECONDS if signer.way.scheme == "jwt" else 0) + _LATE_SECONDS
    return replace(signer, now=signer.now - late_seconds)


def broken_request(what: Break | None, way: AuthScheme, request: Request) -> Request:
    """Return a request that is not what was signed for `body`; an unsigned body becomes one that does not parse."""
    if what != "body":
        return request
    if way.scheme in _BODY_UNSIGNED or (way.scheme == "jwt" and not way.digest_claim):
        return with_header(replace(request, body=_CUT_OFF), "content-type", "application/json")
    return replace(request, body=request.body[: len(request.body) // 2])
