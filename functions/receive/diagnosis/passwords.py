"""The causes of a rejected password or token."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, unquote_plus

from functions.receive.diagnosis import signatures
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
_VARIABLE: Final = re.compile(r"\$[A-Za-z_]\w*|\$\{[^{}]+\}|\$\([^()]+\)|%[A-Za-z_]\w*%|\{\{[^{}]*\}\}|<[A-Za-z _-]+>")
"""The name of a variable, as shells and templates write it, for which a sender should have sent the value."""
_NO_VALUES: Final = frozenset({"undefined", "null", "none", "nil", "nan", "false", "[object object]"})

IS_PART_OF_SECRET: Final = "is a part of this source's secret"  # noqa: S105 a sentence
HAS_MORE_THAN_SECRET: Final = "has this source's secret in it, and more before or after it"  # noqa: S105 a sentence


def wrong_password(case: Case) -> str:
    """Return the likely cause of a rejected password or token. A cause that names the fault precedes a vaguer one."""
    return (
        _wrong_user(case)
        or first_cause(spelled_otherwise(case))
        or _incomplete_token(case)  # before the next, which compares tokens without their prefix
        or _changed_value(case)
        or _misplaced_credentials(case)
        or _basic_fault(case)  # before the next, which would only name the Authorization header
        or _other_place(case)
        or _nothing_sent(case)
        or _wrong_word(case)  # the Authorization header is there, as something was sent
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
        return misplaced(case, "authorization", "Basic ")
    if isinstance(case.auth, schemes.BearerScheme):
        return misplaced(case, "authorization", "Bearer ")
    return None


def misplaced(case: Case, header: str, prefix: str) -> str | None:
    """Return a cause if the right credentials follow another word, or are in another header; else None.

    The source expects them in `header`, after `prefix`, which is a word and a space, or empty.
    """
    header_name, shown_header, word = header.lower(), f"`{header.title()}`", prefix.strip()
    right = "the credentials are right, but"
    for name, value in case.request.headers:
        right_part = _right_part(case, value, header_name, prefix)
        if right_part is None:
            continue
        if name != header_name:
            place = f"`{header.title()}: {word}`" if word else shown_header
            return f"the right credentials are in {signatures.header_text(name)}; this source expects them in {place}"
        has_prefix = value.lower().startswith(prefix.lower())
        if has_prefix and value[len(prefix) :].strip() == right_part:
            is_repeated = [each for each, _ in case.request.headers].count(header_name) > 1
            return f"{right} {shown_header} was sent more than once" if is_repeated else None
        if not word:
            return f"{right} {shown_header} must have nothing before them"
        if value.lower().startswith(f"{word.lower()}:"):
            return f"{right} a colon follows the word `{word}` in {shown_header}: only a space must stand there"
        if value.strip() == right_part:
            return f"{right} the word `{word}` is missing before them in {shown_header}"
        return f"{right} the word before them in {shown_header} must be `{word}`"
    return None


def _right_part(case: Case, value: str, header: str, prefix: str) -> str | None:
    """Return the part of a header's value that is right in this header, after the prefix; None if no part is."""
    other_headers = [each for each in case.request.headers if each[0] != header]
    parts = (value.strip(), value.partition(" ")[2].strip(), value.partition(":")[2].strip())
    for part in filter(None, dict.fromkeys(parts)):
        request = replace(case.request, headers=(*other_headers, (header, f"{prefix}{part}")))
        if holds(replace(case, request=request)):
            return part
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


def _unquoted(text: str) -> str:
    """Return the text without spaces and quotation marks around it."""
    return text.strip(f" {QUOTES}")


def _after_word(text: str) -> str:
    """Return what follows the first word; empty if there is one word."""
    return text.partition(" ")[2].strip()


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


def _lines(text: str) -> list[str]:
    return text.splitlines() if "\n" in text else []


_CHANGED_SECRETS: Final[Mapping[str, Callable[[str], list[str]]]] = {
    "is right, except for white space around it": lambda text: [text.strip()],
    "has quotation marks around this source's secret. Send it without them": lambda text: [_unquoted(text)],
    "has angle brackets around this source's secret. Send it without them": lambda text: [text.strip(" <>")],
    "has another word before this source's secret. Send the secret alone": lambda text: [_after_word(text)],
    "is base64 of this source's secret. Send the secret as it is": _decoded_base64,
    "is this source's secret in hex. Send the secret as it is": _decoded_hex,
    "is this source's secret, percent-encoded. Send it as it is": lambda text: [unquote(text), unquote_plus(text)],
    "has several lines: of a rotated secret, send the newest value alone, the first line": _lines,
}
"""The ways in which a sender may have changed the secret: by the end of the sentence `the value …`, a function that
returns what the secret may be. The first one that fits is used."""


def _difference(received: str, secrets: Sequence[str], name: str) -> str | None:
    """Return how the text that was sent differs from a secret; None if no secret can be recognised in it.

    `name` is the name of the secret.
    """
    for difference, possible_secrets in _CHANGED_SECRETS.items():
        if matches_any(possible_secrets(received), secrets):
            return difference
    if matches_any([received.lower()], [text.lower() for text in secrets]):
        return "differs from this source's secret in upper and lower case only"
    if received in {name, variable_name(name)}:
        return "is the name of this source's secret, and not its value"
    if received.lower() in _NO_VALUES:
        return "is a program's word for a missing value: the sender reads its secret from where none is set"
    bare = _unquoted(received)
    if _VARIABLE.fullmatch(bare):
        return f"is the name of a variable, and not its value: {UNEXPANDED}"
    for secret in secrets:
        if bare and secret.endswith(f":{bare}"):
            return (
                f"{IS_PART_OF_SECRET}: what follows a colon. A secret for basic authentication is the password alone,"
                " without the name of the user"
            )
        if len(bare) >= LEAST_RECOGNISED and 2 * len(bare) > len(secret) and bare in secret:
            return f"{IS_PART_OF_SECRET}: {len(secret) - len(bare)} of its characters are missing"
        if len(secret) >= LEAST_RECOGNISED and secret in received:
            act = "The sender must send the secret alone; if its value is right, the one that is stored here was cut"
            return f"{HAS_MORE_THAN_SECRET}. {act}"
    return None


def _found_at(request: Request, secrets: Sequence[str]) -> str | None:
    """Return a place where senders put secrets, other than the expected one, that holds the right secret."""
    authorization = request.header("authorization") or ""
    if matches_any([schemes.basic_credentials(authorization)[1] or ""], secrets):
        return "basic authentication, as the password"
    if matches_any([schemes.bearer_token(authorization) or ""], secrets):
        return "`Authorization: Bearer`"
    for name, value in request.headers:
        if matches_any([value, value.strip(), _after_word(value)], secrets):
            return signatures.header_text(name)
        if name == "authorization" and matches_any([value], [f":{text}" for text in secrets]):
            return "the Authorization header, not encoded"
    fields = locations.RequestFields(request)
    for name, value in fields.query.items():
        if matches_any([value], secrets):
            return f"the query parameter {name}" if is_loggable_name(name) else "the query"
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
