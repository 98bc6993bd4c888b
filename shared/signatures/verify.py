"""The one verifier of all schemes. Pure: the caller passes the secrets, keys and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.credentials import verify_credentials
from shared.signatures.reading import Reading
from shared.signatures.scheme import AuthScheme
from shared.signatures.signed import is_signed, verify_signed
from shared.signatures.standard_webhooks import standard_names, verify_standard_scheme

_SIGNATURES: Final = {"paypal": "paypal-transmission-sig", "contentful": "x-contentful-signature"}


@dataclass(frozen=True, slots=True)
class NeededKey:
    """The URL of a key or certificate. `is_configured`: the operator's configuration names it, not the request."""

    url: str
    is_configured: bool


def verify(
    request: Request | Reading,
    auth: AuthScheme,
    secrets: Sequence[str],
    keys: Mapping[str, bytes],
    now: float,
    url: str | None = None,
) -> None:
    """Verify the request by one scheme. Every one of `secrets` is tried.

    `keys` are those that key_needed named. `url` is the request's URL as its sender knows it. A Reading in place of the
    request knows its URL itself, and its body is parsed once for all schemes.

    Raises Rejected (401; 400 for a signed id that breaks the rule), or Temporary for a secret or key that is unusable:
    nothing else, whatever the request holds.
    """
    reading = request if isinstance(request, Reading) else Reading(request, url)
    if auth.when and not reading.meets(auth.when):
        raise Rejected("signature_mismatch", "this auth scheme is not for such a request")
    match auth.scheme:
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            verify_signed(reading, auth, secrets, now)
        case "standard-webhooks":
            verify_standard_scheme(reading, auth, secrets, now)
        case "jwt":
            from shared.signatures.jwt import (
                verify_jwt,  # as the others below: few sources have it, and the start is short
            )

            verify_jwt(reading, auth, secrets, keys, now)
        case "aws-sns":
            from shared.signatures.aws_sns import verify_aws_sns

            verify_aws_sns(reading, auth, keys, now)
        case "paypal":
            from shared.signatures.paypal import verify_paypal

            verify_paypal(reading, auth, keys, now)
        case "contentful":
            from shared.signatures.contentful import verify_contentful

            verify_contentful(reading, auth, secrets, now)
        case _:
            verify_credentials(reading, auth, secrets)


def key_needed(request: Request | Reading, auth: AuthScheme, now: float) -> NeededKey | None:
    """Return the key or certificate that verify needs for this request; None for most schemes.

    Runs every check of the scheme that needs no network first, the same that verify runs. Raises Rejected
    (`certificate_url_not_allowed`, `subscribe_url_not_allowed`, `signature_mismatch`, `timestamp_out_of_range`): then
    nothing is to be fetched.
    """
    reading = request if isinstance(request, Reading) else Reading(request)
    match auth.scheme:
        case "aws-sns":
            from shared.signatures import aws_sns

            return NeededKey(aws_sns.read_unproven(reading, auth, now).url, is_configured=False)
        case "paypal":
            from shared.signatures import paypal

            return NeededKey(paypal.read_unproven(reading, auth, now).url, is_configured=False)
        case "jwt" if auth.keys_url:
            from shared.signatures import jwt

            jwt.read_unproven(reading, auth, now)
            return NeededKey(auth.keys_url, is_configured=True)
    return None


def is_attempted(request: Request | Reading, auth: AuthScheme) -> bool:
    """Return whether the request carries credentials for the scheme: of several schemes, only those are tried."""
    reading = request if isinstance(request, Reading) else Reading(request)
    if auth.when and not reading.meets(auth.when):
        return False
    match auth.scheme:
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            return is_signed(reading, auth)
        case "standard-webhooks":
            return bool(reading.request.header(f"{standard_names(reading, auth)}-signature"))
        case "jwt":
            return bool(reading.request.header(auth.header))
        case "paypal" | "contentful":
            return bool(reading.request.header(_SIGNATURES[auth.scheme]))
    return not auth.is_in_head
