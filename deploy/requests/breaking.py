"""Samples with one thing wrong, so that a refusal is seen before a real one comes."""

from dataclasses import replace
from typing import Final, Literal

from deploy.requests.edits import with_header
from deploy.requests.signing import Signer
from shared.http import Request
from shared.signatures.scheme import AuthScheme

Break = Literal["signature", "clock", "body"]
BREAKS: Final[tuple[Break, ...]] = ("signature", "clock", "body")

_BODY_UNPROVEN: Final = frozenset({"none", "basic", "header", "bearer", "path", "query", "token"})
_LATE_SECONDS: Final = 60
_CUT_OFF: Final = b'{"cut off": '


def why_not(what: Break, way: AuthScheme) -> str | None:
    """Why that cannot be broken here; None where it can."""
    if what == "signature" and way.scheme == "none":
        return "this source asks for no proof, so none can be wrong"
    if what == "clock" and not signs_time(way):
        return "no time is signed in this way of proof, so none can be wrong"
    return None


def signs_time(way: AuthScheme) -> bool:
    if way.scheme == "jwt":
        return True
    return way.timestamp is not None or way.scheme in {"standard-webhooks", "contentful", "aws-sns", "paypal"}


def broken_signer(what: Break | None, signer: Signer) -> Signer:
    """`signature`: another secret; `clock`: a time that is past the tolerance."""
    if what == "clock":
        return replace(
            signer, now=signer.now - signer.way.tolerance_seconds - _token_seconds(signer.way) - _LATE_SECONDS
        )
    return signer


def _token_seconds(way: AuthScheme) -> int:
    from deploy.requests.tokens import VALID_SECONDS

    return VALID_SECONDS if way.scheme == "jwt" else 0


def broken_request(what: Break | None, way: AuthScheme, request: Request) -> Request:
    """`body`: what arrives is not what was signed; where nothing signs the body, it does not parse."""
    if what != "body":
        return request
    if way.scheme in _BODY_UNPROVEN or (way.scheme == "jwt" and not way.digest_claim):
        return with_header(replace(request, body=_CUT_OFF), "content-type", "application/json")
    return replace(request, body=request.body[: len(request.body) // 2])
