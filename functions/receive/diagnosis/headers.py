"""The causes of a missing signature."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guesses import QUOTES, SHARED, Guess, SignedCase, holds
from shared.errors import Rejected
from shared.http import Request
from shared.signatures.auth_scheme import described
from shared.signatures.locations import Location, RequestFields, values_at
from shared.signatures.signature_scheme import SignatureScheme
from shared.signatures.signing import ALGORITHMS, matches_any

_LIKE_A_SIGNATURE: Final = re.compile(r"[a-z0-9-]{0,40}(?:signature|hmac|-sig|-mac|-sign|webhook-token)[a-z0-9-]{0,20}")
DROPPED: Final = ", or a proxy drops the header"
_PREFIX: Final = re.compile(r"(?:sha1|sha256|sha384|sha512|md5|v0|v1|hmac-sha256|hmacsha256)=")


def missing(case: SignedCase) -> str | None:
    """Return the cause of a missing signature; None if there is one."""
    auth, request = case.auth, case.request
    first = auth.at._replace(path=(auth.at.name.replace("{n}", "1"),)) if auth.layout == "numbered" else auth.at
    if all(fields.text(first) for fields in _signed_items(case)):
        return None
    where = described(auth.at).replace("{n}", "1")
    if auth.each:
        return (
            f"the signature is expected in {where} of each item, and not every one has it: set the secret at the sender"
        )
    if auth.at.kind == "header" and request.header(auth.at.name) is not None:
        return f"{where} is there and empty: no secret is set at the sender; set this source's there"
    for guess in _elsewhere(case):
        if holds(guess.case):
            return guess.cause
    if others := _alike(request, auth):
        return f"the signature is expected in {where}; the request has {', '.join(others)} instead"
    if (request.header("authorization") or "").lower().startswith(("basic ", "bearer ")):
        return f"the request has an Authorization header; this source takes no password but a signature in {where}"
    return f"no secret is set at the sender{DROPPED if auth.at.kind == 'header' else ''}"


def list_fault(case: SignedCase) -> str | None:
    """Return the fault of a list of signatures, such as one without any of the expected version."""
    if case.auth.layout in {"plain", "numbered"}:
        return None
    try:
        case.auth.signatures(RequestFields(case.request, case.url))
    except Rejected as error:
        return error.detail
    return None


def _signed_items(case: SignedCase) -> list[RequestFields]:
    """Return the request, or each of the items that carry a signature of their own."""
    whole = RequestFields(case.request, case.url)
    return (
        [RequestFields(case.request, case.url, item) for item in values_at(case.auth.each.path, whole.data)]
        if case.auth.each
        else [whole]
    )


def _alike(request: Request, auth: SignatureScheme) -> list[str]:
    expected = {each.name for each in (auth.at, auth.timestamp, auth.id) if each and each.kind == "header"}
    names = dict.fromkeys(name for name, _ in request.headers if name not in expected)
    return [name for name in names if _LIKE_A_SIGNATURE.fullmatch(name)][:3]


def _elsewhere(case: SignedCase) -> Iterator[Guess]:
    """Yield right signatures in another header, perhaps by another algorithm, such as X-Hub-Signature."""
    expected = case.auth
    if not isinstance(expected, SHARED):
        return
    for name in _alike(case.request, case.auth):
        found = _PREFIX.match(case.request.header(name) or "")
        prefix = found[0] if found else ""
        for algorithm in ALGORITHMS:
            auth = replace(expected, at=Location("header", (name,)), prefix=prefix, algorithm=algorithm, when=())
            by = "" if algorithm == expected.algorithm else f", made with {algorithm}"
            where = described(expected.at)
            cause = f"a right signature stands in the header {name}{by}; this source expects it in {where}"
            more = "" if not by else f", made with {expected.algorithm}"
            yield Guess(cause + more, replace(case, auth=auth))


def prefixed(case: SignedCase) -> tuple[SignedCase, str] | None:
    """Return the case with the prefix that its signature has, and that fault; None if it has the expected one."""
    auth = case.auth
    text = RequestFields(case.request, case.url).text(auth.at)
    if not text or auth.layout != "plain":
        return None
    found = _PREFIX.match(text)
    prefix = found[0] if found else ""
    if prefix == auth.prefix:
        return None
    expected = (
        f"this source expects {auth.prefix!r} before it" if auth.prefix else "this source expects nothing before it"
    )
    received = f"begins with {prefix!r}" if prefix else "has no prefix"
    return replace(case, auth=replace(auth, prefix=prefix)), f"the signature {received}; {expected}"


def is_secret_itself(case: SignedCase) -> bool:
    """Return whether the secret stands in the place of the signature."""
    text = RequestFields(case.request, case.url).text(case.auth.at) or ""
    return matches_any([text.strip(QUOTES)], case.secrets)
