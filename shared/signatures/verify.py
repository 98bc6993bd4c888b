"""The one verifier: whether a request is from whom a way trusts. Pure: what it needs is handed in."""

from collections.abc import Mapping, Sequence
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


def keys_needed(request: Request, way: Way) -> str | None:
    """The URL of the key or certificate that verifying takes, of those that are allowed; None for most schemes.

    Raises Rejected (`cert_url`, `sub_url`, `sig`): then nothing is fetched.
    """
    match way.scheme:
        case "aws-sns":
            from shared.signatures import aws_sns

            return aws_sns.certificate_url(Reading(request))
        case "paypal":
            from shared.signatures import paypal

            return paypal.certificate_url(Reading(request))
        case "jwt":
            return way.keys_url or None
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
