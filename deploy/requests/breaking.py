"""Make one part of a request wrong on purpose, to see that its receiver rejects it."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from deploy.requests import signing
from shared.http import Request
from shared.signatures import auth_scheme, content_signing, jwt, signature_scheme

Break: TypeAlias = Literal["signature", "clock", "body"]
"""The part of a request that is made wrong."""

WRONG_KEY: Final = b"not the secret, so no use"
"""The key of a wrong signature."""
_LATE_SECONDS: Final = 60
_CUT_OFF: Final = b'{"cut off": '


def unbreakable_reason(broken_part: Break, auth: auth_scheme.AuthScheme) -> str | None:
    """Return why this part cannot be wrong with this auth scheme; None if it can."""
    if broken_part == "signature" and auth.scheme == "none":
        return "this source needs no authentication, so none can be wrong"
    if broken_part == "clock" and not (isinstance(auth, auth_scheme.TimedScheme) and auth.signs_time):
        return "this auth scheme signs no time, so none can be wrong"
    return None


def needs_sender_key(broken_part: Break | None, auth: auth_scheme.AuthScheme) -> bool:
    """Return whether the request is made with the sender's key. A forger of certificates or key pairs has none."""
    return broken_part != "signature" or not (auth.scheme in signing.BY_CERTIFICATE or signing.is_asymmetric(auth))


def with_wrong_signature(request: Request, signer: signing.Signer) -> Request:
    """Return the request with a signature by another key."""
    auth = signer.auth
    if auth.scheme in signing.BY_CERTIFICATE:
        return _with_forged_headers(request)
    wrong_key = signing.generate_key_pair(auth).private if signing.is_asymmetric(auth) else _wrong_secret(signer)
    return signing.sign_request(request, replace(signer, key=wrong_key))


def with_late_time(request: Request, signer: signing.Signer) -> Request:
    """Return the request with a right signature whose time is past the tolerance."""
    auth = signer.auth
    assert isinstance(auth, auth_scheme.TimedScheme)  # see unbreakable_reason
    late_seconds = auth.tolerance_seconds + _LATE_SECONDS
    if isinstance(auth, jwt.JwtScheme):
        late_seconds += signing.TOKEN_SECONDS
    return signing.sign_request(request, replace(signer, now=signer.now - late_seconds))


def with_broken_body(request: Request, signer: signing.Signer) -> Request:
    """Return the signed request with a part of its body. If the body is not signed, it does not parse either."""
    signed = signing.sign_request(request, signer)
    if not signer.auth.signs_content:
        return content_signing.with_header(replace(signed, body=_CUT_OFF), "content-type", "application/json")
    return replace(signed, body=signed.body[: len(signed.body) // 2])


BREAKS: Final[Mapping[Break, Callable[[Request, signing.Signer], Request]]] = {
    "signature": with_wrong_signature,
    "clock": with_late_time,
    "body": with_broken_body,
}
"""By part: the function that returns an unsigned request signed, and with this part wrong."""


def _wrong_secret(signer: signing.Signer) -> str:
    """Return a secret of the same shape, so that only the signature is wrong."""
    if isinstance(signer.auth, signature_scheme.HmacScheme) and signer.auth.key_encoding == "hex":
        return WRONG_KEY.hex()
    prefix = "whsec_" if signer.key.startswith("whsec_") else ""
    return prefix + base64.b64encode(WRONG_KEY).decode()


def _with_forged_headers(request: Request) -> Request:
    """Return the request with PayPal's signature headers, which nobody signed.

    The signature of Amazon SNS is in the body, and that of its sample is wrong already.
    """
    forged = {
        "paypal-transmission-id": "forged",
        "paypal-transmission-sig": "Zm9yZ2Vk",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/forged",
    }
    for name, value in forged.items():
        request = content_signing.with_header(request, name, value)
    return request
