"""The causes of a rejected JSON Web Token."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from functions.receive.diagnosis.cases import ANY_TIME_SECONDS, Case, first_cause, holds
from functions.receive.diagnosis.guesses import DECODED, spelled_otherwise
from functions.receive.diagnosis.passwords import misplaced
from functions.receive.diagnosis.signatures import DIFFERENT_SECRET
from shared.errors import HookchainError, Rejected
from shared.signatures.auth_scheme import verify_request
from shared.signatures.signing import decode_bytes, hmac_text, matches_any
from shared.times import MILLISECONDS_FROM

if TYPE_CHECKING:
    from shared.signatures.jwt import JwtScheme


def token_cause(case: Case, auth: "JwtScheme", now: float) -> str | None:
    """Return the likely cause of a rejected JSON Web Token; None if none is known.

    A misplaced token comes first, because everything after it reads the token in its place.
    """
    if holds(case):  # the signature is right, so its time or another check rejected the request
        return None
    if cause := misplaced(case, auth.header, auth.prefix):
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
        if isinstance(value, int | float) and MILLISECONDS_FROM <= value < 2000 * now:  # at most twice the time now
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
