"""The causes of a missing signature."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guesses import SHARED, Case, Guess, holds
from shared.errors import Rejected
from shared.http import Request
from shared.signatures.locations import parse_location, values_at
from shared.signatures.request_fields import RequestFields
from shared.signatures.scheme import AuthScheme
from shared.signatures.signature_scheme import given_signatures, is_signed, place_text
from shared.signatures.signing import ALGORITHMS

_LIKE_A_SIGNATURE: Final = re.compile(r"[a-z0-9-]{0,40}(?:signature|hmac|-sig|-mac|-sign|webhook-token)[a-z0-9-]{0,20}")
_PREFIX: Final = re.compile(r"(?:sha1|sha256|sha384|sha512|md5|v0|v1|hmac-sha256|hmacsha256)=")


def missing(case: Case) -> str | None:
    """Return the cause of a missing signature; None where there is one."""
    auth, request = case.auth, case.request
    if auth.at is None or all(_is_there(reading, auth) for reading in _signed_parts(case)):
        return None
    where = place_text(auth).replace("{n}", "1")
    if auth.each:
        return (
            f"the signature is expected in {where} of each item, and not every one has it: set the secret at the sender"
        )
    if auth.at.kind == "header" and request.header(auth.at.name) is not None:
        return f"{where} is there and empty: no secret is set at the sender; set this source's there"
    for guess in _elsewhere(case):
        if holds(guess.case):
            return guess.words
    if others := _alike(request, auth):
        return f"the signature is expected in {where}; the request has {', '.join(others)} instead"
    if (request.header("authorization") or "").lower().startswith(("basic ", "bearer ")):
        return f"the request has an Authorization header; this source takes no password but a signature in {where}"
    return f"the request has no signature, expected in {where}: no secret is set at the sender, or a proxy drops it"


def list_fault(case: Case) -> str | None:
    """Return the fault of a list of signatures, such as one without any of the expected version."""
    if case.auth.layout in {"plain", "numbered"}:
        return None
    try:
        given_signatures(RequestFields(case.request, case.url), case.auth)
    except Rejected as error:
        return error.detail
    return None


def _signed_parts(case: Case) -> list[RequestFields]:
    """Return the request, or each of the items that carry a signature of their own."""
    whole = RequestFields(case.request, case.url)
    return (
        [RequestFields(case.request, case.url, item) for item in values_at(case.auth.each.path, whole.data())]
        if case.auth.each
        else [whole]
    )


def _is_there(reading: RequestFields, auth: AuthScheme) -> bool:
    return is_signed(reading, replace(auth, each=None))


def _alike(request: Request, auth: AuthScheme) -> list[str]:
    signed_too = {place.name for place in (auth.timestamp, auth.id) if place and place.kind == "header"}
    names = dict.fromkeys(name for name, _ in request.headers if name != auth.header and name not in signed_too)
    return [name for name in names if _LIKE_A_SIGNATURE.fullmatch(name)][:3]


def _elsewhere(case: Case) -> Iterator[Guess]:
    """Yield right signatures in another header, perhaps by another algorithm, such as X-Hub-Signature."""
    if case.auth.scheme not in SHARED:
        return
    for name in _alike(case.request, case.auth):
        found = _PREFIX.match(case.request.header(name) or "")
        prefix = found[0] if found else ""
        for algorithm in ALGORITHMS:
            auth = replace(
                case.auth, header=name, at=parse_location(f"header.{name}"), prefix=prefix, algorithm=algorithm, when=()
            )
            by = "" if algorithm == case.auth.algorithm else f", made with {algorithm}"
            words = (
                f"a right signature stands in the header {name}{by}; this source expects it in {place_text(case.auth)}"
            )
            more = "" if not by else f", made with {case.auth.algorithm}"
            yield Guess(words + more, replace(case, auth=auth))


def prefixed(case: Case) -> str | None:
    """Return the cause where the signature is right but for its prefix."""
    auth = case.auth
    text = RequestFields(case.request, case.url).text(auth.at) if auth.at else None
    if not text or auth.layout != "plain":
        return None
    found = _PREFIX.match(text)
    prefix = found[0] if found else ""
    if prefix == auth.prefix:
        return None
    expected = (
        f"this source expects {auth.prefix!r} before it" if auth.prefix else "this source expects nothing before it"
    )
    for algorithm in ALGORITHMS:
        if holds(replace(case, auth=replace(auth, prefix=prefix, algorithm=algorithm))):
            given = f"begins with {prefix!r}" if prefix else "has no prefix"
            by = "" if algorithm == auth.algorithm else f" and is made with {algorithm}, not {auth.algorithm}"
            return f"the signature {given}{by}; {expected}"
    return None
