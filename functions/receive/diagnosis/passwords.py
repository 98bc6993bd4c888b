"""The causes of a rejected password or token."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from functions.receive.diagnosis.guesses import Case, holds, spelled_otherwise
from functions.receive.diagnosis.headers import DROPPED
from shared.http import Request
from shared.signatures.locations import RequestFields
from shared.signatures.passwords import (
    BasicScheme,
    BearerScheme,
    HeaderScheme,
    PathScheme,
    QueryScheme,
    TokenScheme,
    basic_credentials,
    bearer_token,
)
from shared.signatures.signing import matches_any

PASSWORDS: Final = frozenset({"basic", "header", "bearer", "path", "query", "token"})


def wrong_password(case: Case) -> str:
    auth = case.auth
    if isinstance(auth, BasicScheme) and auth.username is not None and _holds_for_any_user(case, auth):
        return "the password is right, but the user name is wrong"
    if cause := next((guess.cause for guess in spelled_otherwise(case) if holds(guess.case)), None):
        return cause
    authorization = case.request.header("authorization")
    user, received = basic_credentials(authorization)
    if isinstance(auth, BasicScheme) and user is None and (authorization or "").lower().startswith("basic "):
        plain = any(f":{text}" in (authorization or "") for text in case.secrets)
        found = "they stand in it as they are" if plain else "what it has is no base64, or has no colon"
        return f"`Authorization: Basic` must have base64 of the user name, a colon and the password; {found}"
    word, space, rest = (authorization or "").partition(" ")
    if isinstance(auth, BearerScheme) and space and word.lower() != "basic" and matches_any([rest], case.secrets):
        return "the token is right, but the word before it in `Authorization` must be `Bearer`"
    if user is not None and received is not None and isinstance(auth, BasicScheme):
        return _in_basic(user, received, case.secrets)
    if place := _found_at(case.request, case.secrets):
        return f"the right secret stands in {place}; this source expects it {expected_place(case)}"
    if not has_any(case):
        return f"this source takes it {expected_place(case)}{_lost(case)}"
    return f"the value {expected_place(case)} is not this source's secret. Set this source's secret at the sender"


def _holds_for_any_user(case: Case, auth: BasicScheme) -> bool:
    return holds(replace(case, auth=replace(auth, username=None)))


def _in_basic(user: str, received: str, secrets: Sequence[str]) -> str:
    if matches_any([user], secrets):
        return "the secret was sent as the user name; send it as the password"
    if matches_any([received.strip()], secrets) or matches_any([received], [text.strip() for text in secrets]):
        return "the password is right, except for white space around it"
    if not received:
        return "the password is empty"
    if matches_any(received.splitlines(), secrets):
        return "the password has several lines: of a rotated secret, send the newest value alone, the first line"
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
    for name, value in RequestFields(request).query.items():
        if matches_any([value], secrets):
            return f"the query parameter {name}" if name.isidentifier() and len(name) < 40 else "the query"
    return "the path" if any(matches_any([part], secrets) for part in request.path.split("/")[1:]) else None


def has_any(case: Case) -> bool:
    auth, request = case.auth, case.request
    match auth:
        case BasicScheme() | BearerScheme():
            return bool(request.header("authorization"))
        case PathScheme():
            return len(request.path.split("/")) > 2
    return any(RequestFields(request, case.url).text(each) for each in auth.credentials)


def expected_place(case: Case) -> str:
    match case.auth:
        case BasicScheme():
            return "as the password of basic authentication"
        case BearerScheme():
            return "in `Authorization: Bearer`"
        case HeaderScheme(header=header):
            return f"in the header {header}"
        case QueryScheme(parameter=parameter):
            return f"in the query parameter {parameter}"
        case PathScheme():
            return "in the path, after the source's name"
        case TokenScheme(at=at):
            return f"at {at}"
    return "in the request"


def _lost(case: Case) -> str:
    if isinstance(case.auth, HeaderScheme | BearerScheme):
        return f": no secret is set at the sender{DROPPED}"
    if not isinstance(case.auth, BasicScheme):
        return ": none is set at the sender"
    if _is_encoded_alone(case, case.auth.username or ""):
        return ": the Authorization header lacks the word `Basic`"
    return ": some senders drop user and password from a URL; give them where the sender has fields for them"


def _is_encoded_alone(case: Case, username: str) -> bool:
    text = case.request.header("authorization") or ""
    wanted = [base64.b64encode(f"{username}:{each}".encode()).decode() for each in case.secrets]
    return matches_any([text], wanted)
