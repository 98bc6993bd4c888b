"""Why a password or a token is refused."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guess import Case, holds
from functions.receive.diagnosis.signatures import spelled_otherwise
from shared.http import Request
from shared.signatures.compare import matches_any
from shared.signatures.credentials import basic_credentials, bearer_token
from shared.signatures.reading import Reading

PASSWORDS: Final = frozenset({"basic", "header", "bearer", "path", "query", "token"})


def wrong_password(case: Case) -> str:
    if case.way.username is not None and holds(replace(case, way=replace(case.way, username=None))):
        return "the password is right, the user name is not"
    user, given = basic_credentials(case.request.header("authorization"))
    if user is not None and given is not None and case.way.scheme == "basic":
        return _in_basic(user, given, case.secrets)
    if told := next((guess.words for guess in spelled_otherwise(case) if holds(guess.case)), None):
        return told
    if place := _found_at(case.request, case.secrets):
        return f"the right secret stands in {place}; this source expects it {expected_place(case)}"
    if not has_any(case):
        return f"the request has no password or token {expected_place(case)}{_lost(case)}"
    return f"what stands {expected_place(case)} is another value than this source's secret: set it anew at the sender"


def _in_basic(user: str, given: str, secrets: Sequence[str]) -> str:
    if matches_any([user], secrets):
        return "the secret was sent as the user name; it belongs in the place of the password"
    if matches_any([given.strip()], secrets) or matches_any([given], [text.strip() for text in secrets]):
        return "the password is right but for white space around it"
    if not given:
        return "the password is empty"
    return "the password of the basic authentication is not this source's secret: set it anew at the sender"


def _found_at(request: Request, secrets: Sequence[str]) -> str | None:
    """The places where senders put secrets, other than the one expected: that one has been looked at."""
    authorization = request.header("authorization") or ""
    if matches_any([basic_credentials(authorization)[1] or ""], secrets):
        return "basic authentication, as the password"
    if matches_any([bearer_token(authorization) or ""], secrets):
        return "`Authorization: Bearer`"
    for name, value in request.headers:
        if matches_any([value, value.strip()], secrets):
            return f"the header {name}"
        if name == "authorization" and matches_any([value], [f":{text}" for text in secrets]):
            return "the Authorization header, not encoded"
    for name, value in Reading(request).query().items():
        if matches_any([value], secrets):
            return f"the query parameter {name}" if name.isidentifier() and len(name) < 40 else "the query"
    return "the path" if any(matches_any([part], secrets) for part in request.path.split("/")[1:]) else None


def has_any(case: Case) -> bool:
    way, request = case.way, case.request
    match way.scheme:
        case "basic" | "bearer":
            return bool(request.header("authorization"))
        case "header":
            return bool(request.header(way.header))
        case "query":
            return bool(Reading(request).query().get(way.parameter))
        case "path":
            return len(request.path.split("/")) > 2
    return bool(way.at and Reading(request, case.url).text(way.at))


def expected_place(case: Case) -> str:
    way = case.way
    match way.scheme:
        case "basic":
            return "as the password of basic authentication"
        case "bearer":
            return "in `Authorization: Bearer`"
        case "header":
            return f"in the header {way.header}"
        case "query":
            return f"in the query parameter {way.parameter}"
        case "path":
            return "in the path, after the source's name"
    return f"at {way.at.kind}.{'.'.join(way.at.path)}" if way.at else "in the request"


def _lost(case: Case) -> str:
    if case.way.scheme != "basic":
        return ""
    if _is_encoded_alone(case):
        return ": the Authorization header lacks the word `Basic`"
    return ": some senders drop user and password from a URL; give them where the sender has fields for them"


def _is_encoded_alone(case: Case) -> bool:
    text = case.request.header("authorization") or ""
    wanted = [base64.b64encode(f"{case.way.username or ''}:{each}".encode()).decode() for each in case.secrets]
    return matches_any([text], wanted)
