"""The causes of a rejected password or token."""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, unquote_plus

from functions.receive.diagnosis import signatures, tokens
from functions.receive.diagnosis.cases import Case, first_cause, holds
from functions.receive.diagnosis.guesses import QUOTES, UNEXPANDED, spelled_otherwise
from shared.http import Request
from shared.logs import is_loggable_name
from shared.secrets import variable_name
from shared.signatures import locations, passwords as schemes
from shared.signatures.signing import matches_any

PASSWORDS: Final = frozenset({"basic", "header", "bearer", "path", "query", "token"})
LEAST_RECOGNISED: Final = 8
"""The fewest characters that are recognised as a part of a secret. Fewer may be equal by chance, and would help someone
who guesses."""
_UNEXPANDED: Final = re.compile(
    r"\$[A-Za-z_]\w*|\$\{[^{}]+\}|\$\([^()]+\)|%[A-Za-z_]\w*%|\{\{[^{}]*\}\}|<[A-Za-z _-]+>"
)
"""The name of a variable, as shells and templates write it, for which a sender should have sent the value."""
_NO_VALUES: Final = frozenset({"undefined", "null", "none", "nil", "nan", "false", "[object object]"})

IS_PART_OF_SECRET: Final = "is a part of this source's secret"  # noqa: S105 a sentence
HAS_MORE_THAN_SECRET: Final = "has this source's secret in it, and more before or after it"  # noqa: S105 a sentence
SECRET_CODES: Final = frozenset({"signature_mismatch", "password_mismatch"})
"""The codes of rejections that a wrong secret may cause."""
_OPEN_CAUSES: Final = (signatures.DIFFERENT_SECRET, signatures.TOO_LARGE, IS_PART_OF_SECRET, HAS_MORE_THAN_SECRET)


def leaves_secret_open(cause: str) -> bool:
    """Return whether a cause leaves open which side has the wrong secret. Then the value in `.env` may be the wrong
    one."""
    return any(text in cause for text in _OPEN_CAUSES)


def wrong_password(case: Case) -> str:
    """Return the likely cause of a rejected password or token.

    The causes that can be shown come first. Some of the later ones hold only because no earlier one does.
    """
    return (
        _wrong_user(case)
        or first_cause(spelled_otherwise(case))
        or _incomplete_token(case)
        or _changed_value(case)
        or _misplaced_credentials(case)
        or _basic_fault(case)
        or _other_place(case)
        or _nothing_sent(case)
        or _wrong_word(case)
        or f"the value {expected_place(case)} is not this source's secret: {signatures.DIFFERENT_SECRET}."
        " Set this source's secret at the sender"
    )


def _wrong_user(case: Case) -> str | None:
    auth = case.auth
    if not isinstance(auth, schemes.BasicScheme) or auth.username is None:
        return None
    is_password_right = holds(replace(case, auth=replace(auth, username=None)))
    return "the password is right, but the user name is wrong" if is_password_right else None


def _incomplete_token(case: Case) -> str | None:
    """Return a cause if some items have no token, or a text does not begin with the scheme's prefix; else None."""
    if not isinstance(case.auth, schemes.TokenScheme):
        return None
    texts = case.auth.texts(locations.RequestFields(case.request, case.url))
    sent = [text for text in texts if text]
    if not sent:
        return None
    if len(sent) < len(texts):
        return f"the secret is expected {expected_place(case)} of each item, and not every one has it"
    prefix = case.auth.prefix
    if not all(text.startswith(prefix) for text in sent):
        return f"the value {expected_place(case)} must begin with {prefix!r}, and this source's secret must follow"
    return None


def _changed_value(case: Case) -> str | None:
    """Return a cause if the value that was sent is the secret in another form, or stands for it; else None."""
    received = _received(case)
    difference = None if received is None else _difference(received, case.secrets, case.auth.secret)
    return f"the value {expected_place(case)} {difference}" if difference else None


def _misplaced_credentials(case: Case) -> str | None:
    """Return a cause if what belongs into the Authorization header is right, but elsewhere; else None."""
    if isinstance(case.auth, schemes.BasicScheme):
        return tokens.misplaced(case, "authorization", "Basic ", "credentials")
    if isinstance(case.auth, schemes.BearerScheme):
        return tokens.misplaced(case, "authorization", "Bearer ", "token")
    return None


def _basic_fault(case: Case) -> str | None:
    """Return the fault of the credentials of basic authentication.

    None if there are no such credentials, or if they have a user name and a password.
    """
    if not isinstance(case.auth, schemes.BasicScheme):
        return None
    authorization = case.request.header("authorization") or ""
    user, password = schemes.basic_credentials(authorization)
    if user is None and authorization.lower().startswith("basic "):
        is_unencoded = any(f":{text}" in authorization for text in case.secrets)
        fault = "they stand in it as they are" if is_unencoded else "what it has is no base64, or has no colon"
        return f"`Authorization: Basic` must have base64 of the user name, a colon and the password; {fault}"
    if matches_any([user or ""], case.secrets):
        return "the secret was sent as the user name; send it as the password"
    return "the password is empty" if password == "" else None


def _other_place(case: Case) -> str | None:
    place = _found_at(case.request, case.secrets)
    return f"the right secret stands in {place}; this source expects it {expected_place(case)}" if place else None


def _nothing_sent(case: Case) -> str | None:
    return None if has_any(case) else f"this source takes it {expected_place(case)}: {_absence_reason(case)}"


def _wrong_word(case: Case) -> str | None:
    """Return a cause if the Authorization header has nothing of the kind that the source compares; else None."""
    authorization = case.request.header("authorization") or ""
    word = authorization.partition(" ")[0].lower()
    if isinstance(case.auth, schemes.BasicScheme) and schemes.basic_credentials(authorization)[0] is None:
        wanted, expected = "Basic", "basic authentication"
    elif isinstance(case.auth, schemes.BearerScheme) and not schemes.bearer_token(authorization):
        wanted, expected = "Bearer", "`Authorization: Bearer`"
    else:
        return None
    if word == wanted.lower():
        return f"`Authorization` has the word `{wanted}` alone: no secret is set at the sender"
    if word in {"basic", "bearer"}:
        return f"the request has `Authorization: {word.title()}` where this source expects {expected}"
    return f"`Authorization` does not begin with the word `{wanted}` and a space: this source expects {expected}"


def _received(case: Case) -> str | None:
    """Return the password or token that was sent; None if there is none in its place.

    If the items of the body have a token each, return the first wrong one.
    """
    fields = locations.RequestFields(case.request, case.url)
    match case.auth:
        case schemes.TokenScheme():
            sent = [case.auth.token(text) or "" for text in case.auth.texts(fields)]
            return next((token for token in sent if token and not matches_any([token], case.secrets)), None)
        case schemes.PasswordScheme():
            return case.auth.password_in(fields)
    return None


def _difference(received: str, secrets: Sequence[str], name: str) -> str | None:
    """Return how the text that was sent differs from a secret; None if no secret can be recognised in it.

    `name` is the name of the secret.
    """
    for difference, change in _CHANGED_SECRETS:
        if matches_any(change(received), secrets):
            return difference
    if matches_any([received.lower()], [text.lower() for text in secrets]):
        return "differs from this source's secret in upper and lower case only"
    if received in {name, variable_name(name)}:
        return "is the name of this source's secret, and not its value"
    if received.lower() in _NO_VALUES:
        return "is a program's word for a missing value: the sender reads its secret from where none is set"
    if _UNEXPANDED.fullmatch(received.strip(f" {QUOTES}")):
        return f"is the name of a variable, and not its value: {UNEXPANDED}"
    bare = received.strip(f" {QUOTES}")
    for secret in secrets:
        if len(bare) >= LEAST_RECOGNISED and 2 * len(bare) > len(secret) and bare in secret:
            return f"{IS_PART_OF_SECRET}: {len(secret) - len(bare)} of its characters are missing"
        if len(secret) >= LEAST_RECOGNISED and secret in received:
            act = "The sender must send the secret alone; if its value is right, the one that is stored here was cut"
            return f"{HAS_MORE_THAN_SECRET}. {act}"
    return None


def _decoded_base64(text: str) -> list[str]:
    """Return the text that this is base64 of, also without white space around it, and its part after a colon."""
    try:
        inner = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:
        return []
    return [inner, inner.strip(), inner.partition(":")[2]]


def _decoded_hex(text: str) -> list[str]:
    try:
        return [bytes.fromhex(text).decode()]
    except ValueError:
        return []


_CHANGED_SECRETS: Final[tuple[tuple[str, Callable[[str], list[str]]], ...]] = (
    ("is right, except for white space around it", lambda text: [text.strip()]),
    (
        "has quotation marks around this source's secret. Send it without them",
        lambda text: [text.strip(f" {QUOTES}")],
    ),
    ("has angle brackets around this source's secret. Send it without them", lambda text: [text.strip(" <>")]),
    (
        "has another word before this source's secret. Send the secret alone",
        lambda text: [text.partition(" ")[2].strip()],
    ),
    ("is base64 of this source's secret. Send the secret as it is", _decoded_base64),
    ("is this source's secret in hex. Send the secret as it is", _decoded_hex),
    ("is this source's secret, percent-encoded. Send it as it is", lambda text: [unquote(text), unquote_plus(text)]),
    (
        "has several lines: of a rotated secret, send the newest value alone, the first line",
        lambda text: text.splitlines() if "\n" in text else [],
    ),
)
"""For each way in which a sender may have changed the secret: the end of the sentence `the value …`, and a function
that returns what the secret may be."""


def _found_at(request: Request, secrets: Sequence[str]) -> str | None:
    """Return a place where senders put secrets, other than the expected one, that holds the right secret."""
    authorization = request.header("authorization") or ""
    if matches_any([schemes.basic_credentials(authorization)[1] or ""], secrets):
        return "basic authentication, as the password"
    if matches_any([schemes.bearer_token(authorization) or ""], secrets):
        return "`Authorization: Bearer`"
    for name, value in request.headers:
        if matches_any([value, value.strip(), value.partition(" ")[2].strip()], secrets):
            return signatures.header_text(name)
        if name == "authorization" and matches_any([value], [f":{text}" for text in secrets]):
            return "the Authorization header, not encoded"
    for name, value in locations.RequestFields(request).query.items():
        if matches_any([value], secrets):
            return f"the query parameter {name}" if is_loggable_name(name) else "the query"
    fields = locations.RequestFields(request)
    data = fields.data if isinstance(fields.data, dict) else fields.form
    if matches_any([value for value in data.values() if isinstance(value, str)], secrets):
        return "the body"
    return "the path" if any(matches_any([part], secrets) for part in request.path.split("/")[1:]) else None


def has_any(case: Case) -> bool:
    """Return whether the request has any password or token in the place where the source expects it."""
    auth, request = case.auth, case.request
    match auth:
        case schemes.BasicScheme() | schemes.BearerScheme():
            return bool(request.header("authorization"))
        case schemes.PathScheme():
            return len(request.path.split("/")) > 2
    return any(locations.RequestFields(request, case.url).text(each) for each in auth.credentials)


def expected_place(case: Case) -> str:
    """Return the words for the place in a request where the source expects the password or token."""
    match case.auth:
        case schemes.BasicScheme():
            return "as the password of basic authentication"
        case schemes.BearerScheme():
            return "in `Authorization: Bearer`"
        case schemes.HeaderScheme(header=header):
            return f"in the header {header}"
        case schemes.QueryScheme(parameter=parameter):
            return f"in the query parameter {parameter}"
        case schemes.PathScheme():
            return "in the path, after the source's name"
        case schemes.TokenScheme(at=at):
            return f"at {at}"
    return "in the request"


def _absence_reason(case: Case) -> str:
    """Return why a request may have no password or token where it is expected."""
    if isinstance(case.auth, schemes.HeaderScheme | schemes.BearerScheme):
        # The body of such a source is not read before this, so a token may be in it.
        return f"the sender sent none there{signatures.DROPPED}; a token in the body does not count"
    if not isinstance(case.auth, schemes.BasicScheme):
        return "the sender sent none there"
    return "some senders drop user and password from a URL; give them where the sender has fields for them"
