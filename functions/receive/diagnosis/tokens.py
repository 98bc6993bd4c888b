"""The causes of a rejected JSON Web Token, and of credentials under a wrong word or in a wrong header."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from functions.receive.diagnosis.cases import ANY_TIME_SECONDS, Case, first_cause, holds
from functions.receive.diagnosis.guesses import DECODED, spelled_otherwise
from functions.receive.diagnosis.signatures import DIFFERENT_SECRET, header_text
from shared.errors import HookchainError, Rejected
from shared.signatures.auth_scheme import verify_request
from shared.signatures.signing import decode_bytes, hmac_text, matches_any

if TYPE_CHECKING:
    from shared.signatures.jwt import JwtScheme

_MILLISECONDS: Final = 1e12
"""A time of at least this number is in milliseconds."""


def misplaced(case: Case, header: str, prefix: str, what: str) -> str | None:
    """Return a cause if the right token or credentials follow another word, or are in another header; else None.

    The source expects them in `header` after `prefix`. `what` is `token` or `credentials`.
    """
    expected, word = header.lower(), prefix.strip()
    is_, it = ("are", "them") if what.endswith("s") else ("is", "it")
    place = f"`{header.title()}`"
    others = [each for each in case.request.headers if each[0] != expected]
    for name, value in case.request.headers:
        text = _right_part(case, value, (expected, prefix), others)
        if text is None:
            continue
        if name != expected:
            whole = f"`{header.title()}: {word}`" if word else place
            return f"the right {what} {is_} in {header_text(name)}; this source expects {it} in {whole}"
        right = f"the {what} {is_} right, but"
        if value.lower().startswith(prefix.lower()) and value[len(prefix) :].strip() == text:
            return f"{right} {place} was sent more than once" if len(case.request.headers) > len(others) + 1 else None
        if not word:
            return f"{right} {place} must have nothing before {it}"
        if value.lower().startswith(f"{word.lower()}:"):
            return f"{right} a colon follows the word `{word}` in {place}: only a space must stand there"
        if value.strip() == text:
            return f"{right} the word `{word}` is missing before {it} in {place}"
        return f"{right} the word before {it} in {place} must be `{word}`"
    return None


def _right_part(case: Case, value: str, place: tuple[str, str], others: Sequence[tuple[str, str]]) -> str | None:
    """Return the part of a header's value that is right; None if no part is.

    `place` is the header and the prefix where the source expects it. `others` are all other headers.
    """
    header, prefix = place
    parts = (value.strip(), value.partition(" ")[2].strip(), value.partition(":")[2].strip())
    for text in filter(None, dict.fromkeys(parts)):
        moved = replace(case.request, headers=(*others, (header, f"{prefix}{text}")))
        if holds(replace(case, request=moved)):
            return text
    return None


def token_cause(case: Case, auth: "JwtScheme", now: float) -> str | None:
    """Return the likely cause of a rejected JSON Web Token; None if none is known."""
    if holds(case):  # the signature is right, so its time or another check rejected the request
        return None
    if cause := misplaced(case, auth.header, auth.prefix, "token"):
        return cause
    text = case.request.header(auth.header) or ""
    token = text[len(auth.prefix) :].strip()
    if cause := _in_milliseconds(token, now):
        return cause
    if not auth.is_shared_key:
        return _other_key(case, auth)
    if cause := first_cause(spelled_otherwise(case)):
        return cause
    for encoding in ("base64", "base64url", "hex"):
        if _is_signed_with(token, auth.algorithms, _decoded_keys(case.secrets, encoding)):
            return DECODED.format(encoding)
    return _other_key(case, auth)


def _other_key(case: Case, auth: "JwtScheme") -> str | None:
    """Return the cause of a signature that does not match; None if another check rejected the token."""
    # Imported here, because few sources take tokens.
    from shared.signatures.jwt import NO_MATCH

    # Only the signature is verified, without claims and at any time.
    unclaimed = replace(auth, claims={}, digest_claim="", without_exp=True, limits_age=False)
    at_any_time = replace(unclaimed, tolerance_seconds=ANY_TIME_SECONDS)
    try:
        verify_request(case.request, at_any_time, case.secrets, {}, 0, case.url)
    except HookchainError as error:
        if error.detail != NO_MATCH or not auth.secret:
            return None
    else:
        return None
    if auth.is_shared_key:
        return f"{DIFFERENT_SECRET} than {auth.secret!r}, or the token was cut or changed on its way"
    return f"the public key in {auth.secret!r} is not that of the sender's private key, or the token was cut on its way"


def _in_milliseconds(token: str, now: float) -> str | None:
    """Return the cause if a time of the token is in milliseconds, however it is signed; else None."""
    from shared.signatures.jwt import unverified_claims

    try:
        claims = unverified_claims(token)
    except Rejected:
        return None
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if isinstance(value, int | float) and _MILLISECONDS <= value < 2000 * now:
            return f"the token's {name} is in milliseconds, and a JSON Web Token has it in seconds"
    return None


def _decoded_keys(secrets: Sequence[str], encoding: str) -> list[bytes]:
    keys: list[bytes] = []
    for secret in secrets:
        try:
            keys.append(decode_bytes(secret, encoding))
        except ValueError:
            continue
    return keys


def _is_signed_with(token: str, algorithms: Sequence[str], keys: Sequence[bytes]) -> bool:
    signed, _, signature = token.rpartition(".")
    expected = [
        hmac_text(signed.encode(), key, f"sha{name.removeprefix('HS')}", "base64url")
        for name in algorithms
        for key in keys
    ]
    return matches_any([signature], expected)
