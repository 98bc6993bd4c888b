"""The causes of a rejected password or token."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guesses import Case, holds, spelled_otherwise
from shared.http import Request
from shared.signatures.macs import matches_any
from shared.signatures.passwords import basic_credentials, bearer_token
from shared.signatures.request_fields import RequestFields

PASSWORDS: Final = frozenset({"basic", "header", "bearer", "path", "query", "token"})


def wrong_password(case: Case) -> str:
    if case.auth.username is not None and holds(replace(case, auth=replace(case.auth, username=None))):
        return "the password is right, but the user name is wrong"
    user, given = basic_credentials(case.request.header("authorization"))
    if user is not None and given is not None and case.auth.scheme == "basic":
        return _in_basic(user, given, case.secrets)
    if cause := next((guess.words for guess in spelled_otherwise(case) if holds(guess.case)), None):
        return cause
    if place := _found_at(case.request, case.secrets):
        return f"the right secret stands in {place}; this source expects it {expected_place(case)}"
    if not has_any(case):
        return f"the request has no password or token {expected_place(case)}{_lost(case)}"
    return f"the value {expected_place(case)} is not this source's secret. Set this source's secret at the sender"


def _in_basic(user: str, given: str, secrets: Sequence[str]) -> str:
    if matches_any([user], secrets):
        return "the secret was sent as the user name; send it as the password"
    if matches_any([given.strip()], secrets) or matches_any([given], [text.strip() for text in secrets]):
        return "the password is right, except for white space around it"
    if not given:
        return "the password is empty"
    return "the password of basic authentication is not this source's secret. Set this source's secret at the sender"


def _found_at(request: Request, secrets: Sequence[str]) -> str | None:
    """Return a place where senders put secrets, other than the expected one, that holds the right secret."""
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
    for name, value in RequestFields(request).query().items():
        if matches_any([value], secrets):
            return f"the query parameter {name}" if name.isidentifier() and len(name) < 40 else "the query"
    return "the path" if any(matches_any([part], secrets) for part in request.path.split("/")[1:]) else None


def has_any(case: Case) -> bool:
    auth, request = case.auth, case.request
    match auth.scheme:
        case "basic" | "bearer":
            return bool(request.header("authorization"))
        case "header":
            return bool(request.header(auth.header))
        case "query":
            return bool(RequestFields(request).query().get(auth.parameter))
        case "path":
            return len(request.path.split("/")) > 2
    return bool(auth.at and RequestFields(request, case.url).text(auth.at))


def expected_place(case: Case) -> str:
    auth = case.auth
    match auth.scheme:
        case "basic":
            return "as the password of basic authentication"
        case "bearer":
            return "in `Authorization: Bearer`"
        case "header":
            return f"in the header {auth.header}"
        case "query":
            return f"in the query parameter {auth.parameter}"
        case "path":
            return "in the path, after the source's name"
    return f"at {auth.at.kind}.{'.'.join(auth.at.path)}" if auth.at else "in the request"


def _lost(case: Case) -> str:
    if case.auth.scheme != "basic":
        return ""
    if _is_encoded_alone(case):
        return ": the Authorization header lacks the word `Basic`"
    return ": some senders drop user and password from a URL; give them where the sender has fields for them"


def _is_encoded_alone(case: Case) -> bool:
    text = case.request.header("authorization") or ""
    wanted = [base64.b64encode(f"{case.auth.username or ''}:{each}".encode()).decode() for each in case.secrets]
    return matches_any([text], wanted)
