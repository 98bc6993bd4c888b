"""The one verifier: whether a request is from whom a way trusts. Pure: what it needs is handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.credentials import verify_credentials
from shared.signatures.layouts import is_signed
from shared.signatures.reading import Reading
from shared.signatures.signed import verify_signed
from shared.signatures.standard_webhooks import standard_names, verify_standard_way
from shared.signatures.way import IN_HEAD, Way

_SIGNATURES: Final = {"paypal": "paypal-transmission-sig", "contentful": "x-contentful-signature"}


@dataclass(frozen=True, slots=True)
class NeededKey:
    """The URL of a key or certificate. `is_configured`: the operator's configuration names it, not the request."""

    url: str
    is_configured: bool


def verify(
    request: Request | Reading,
    way: Way,
    secrets: Sequence[str],
    keys: Mapping[str, bytes],
    now: float,
    url: str | None = None,
) -> None:
    """Every one of `secrets` is tried. `keys`: what keys_needed named; `url`: the request's as its sender knew it.
    A Reading in the request's place knows its URL itself, and its body is parsed once for all ways.

    Raises Rejected (401; 400 for a signed id that breaks the rule), or Temporary for a secret or key that is unusable:
    nothing else, whatever the request holds.
    """
    reading = _reading(request, url)
    if not way_holds(reading, way):
        raise Rejected("sig", "this way of proof is not for such a request")
    match way.scheme:
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            verify_signed(reading, way, secrets, now)
        case "standard-webhooks":
            verify_standard_way(reading, way, secrets, now)
        case "jwt":
            from shared.signatures.jwt import verify_jwt  # this and the others: few have them, and a start is short

            verify_jwt(reading, way, secrets, keys, now)
        case "aws-sns":
            from shared.signatures.aws_sns import verify_aws_sns

            verify_aws_sns(reading, way, keys, now)
        case "paypal":
            from shared.signatures.paypal import verify_paypal

            verify_paypal(reading, way, keys, now)
        case "contentful":
            from shared.signatures.contentful import verify_contentful

            verify_contentful(reading, way, secrets, now)
        case _:
            verify_credentials(reading, way, secrets)


def key_needed(request: Request | Reading, way: Way, now: float) -> NeededKey | None:
    """Return the key or certificate that verify needs for this request; None for most schemes.

    Runs every check of the scheme that needs no network first, the same that verify runs. Raises Rejected (`cert_url`,
    `sub_url`, `sig`, `ts`): then nothing is to be fetched.
    """
    reading = _reading(request)
    match way.scheme:
        case "aws-sns":
            from shared.signatures import aws_sns

            return NeededKey(aws_sns.read_unproven(reading, way, now).url, is_configured=False)
        case "paypal":
            from shared.signatures import paypal

            return NeededKey(paypal.read_unproven(reading, way, now).url, is_configured=False)
        case "jwt" if way.keys_url:
            from shared.signatures import jwt

            jwt.read_unproven(reading, way, now)
            return NeededKey(way.keys_url, is_configured=True)
    return None


def way_holds(reading: Reading, way: Way) -> bool:
    """Whether each place of the way's `when` holds what it should."""
    for place, wanted in way.when:
        text = reading.text(place)
        if (text != wanted) if isinstance(wanted, str) else (bool(text) is not wanted):
            return False
    return True


def is_attempted(request: Request | Reading, way: Way) -> bool:
    """Whether the request has anything where the way's proof stands: of several ways, those are tried."""
    reading = _reading(request)
    if not way_holds(reading, way):
        return False
    match way.scheme:
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            return is_signed(reading, way)
        case "standard-webhooks":
            return bool(reading.request.header(f"{standard_names(reading, way)}-signature"))
        case "jwt":
            return bool(reading.request.header(way.header))
        case "paypal" | "contentful":
            return bool(reading.request.header(_SIGNATURES[way.scheme]))
    return way.scheme not in IN_HEAD


def _reading(request: Request | Reading, url: str | None = None) -> Reading:
    return request if isinstance(request, Reading) else Reading(request, url)
