"""The likely cause of a rejection, for the operator's log and never for the sender.

`diagnose` looks for the cause by the code of the rejection. `rejection_cause` does it for one auth scheme and known
secrets, and `handshake_cause` for a request that may be a handshake.

A cause can have rules, configured names and names of headers in it. It never has a secret, a header's value or a part
of the body.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from functions.receive.admission import requested_url, source_name
from functions.receive.diagnosis import bodies, passwords, signatures, tokens
from functions.receive.diagnosis.cases import Case, as_signed, holds
from functions.receive.source import Source
from shared import did_you_mean, errors, http
from shared.signatures.auth_scheme import AuthScheme, described, is_attempted
from shared.signatures.locations import Location, RequestFields

if TYPE_CHECKING:
    from functions.receive.receive import Receiver

MAX_BODY_BYTES: Final = 1024 * 1024
"""The largest body of a request whose cause is looked for."""
MAX_OTHERS: Final = 8
"""Apart from the source's own secrets, only those of so many sources are tried: the first in the configuration."""
MAX_NAME: Final = 63
"""The most characters of a source's name. A longer path is not compared, as the cost grows with the square of its
length."""
SECRETS_SECONDS: Final = 0.2
"""The time for reading the secrets. The sender waits for its reply until the cause is logged."""
SECRET_CODES: Final = frozenset({"signature_mismatch", "password_mismatch"})
"""The codes of rejections that a wrong secret may cause."""
_OPEN_CAUSES: Final = (
    signatures.DIFFERENT_SECRET,
    signatures.TOO_LARGE,
    passwords.IS_PART_OF_SECRET,
    passwords.HAS_MORE_THAN_SECRET,
)
"""Parts of the causes that leave open which side has the wrong secret."""
PROVIDER_HANDSHAKES: Final[Mapping[str, tuple[Location, str]]] = {
    "asana": (Location("header", ("x-hook-secret",)), ""),
    "aws_sns": (Location("data", ("Type",)), "SubscriptionConfirmation"),
    "azure_event_grid": (Location("header", ("aeg-event-type",)), "SubscriptionValidation"),
    "cloudevents_webhook": (Location("header", ("webhook-request-origin",)), ""),
    "ebay": (Location("query", ("challenge_code",)), ""),
    "front": (Location("header", ("x-front-challenge",)), ""),
    "linkedin": (Location("query", ("challengeCode",)), ""),
    "meta": (Location("query", ("hub.mode",)), "subscribe"),
    "microsoft_graph": (Location("query", ("validationToken",)), ""),
    "microsoft_sharepoint": (Location("query", ("validationtoken",)), ""),
    "okta": (Location("header", ("x-okta-verification-challenge",)), ""),
    "slack": (Location("data", ("type",)), "url_verification"),
    "tebex": (Location("data", ("type",)), "validation.webhook"),
    "twitch": (Location("header", ("twitch-eventsub-message-type",)), "webhook_callback_verification"),
    "x_twitter": (Location("query", ("crc_token",)), ""),
    "zoom": (Location("data", ("event",)), "endpoint.url_validation"),
}
"""The sign of each provider's handshake: a location, and the text there; empty for any text.

They are the `when` of the catalogue's handshakes. Receive itself has those of its own sources' providers only.
"""


async def diagnose(
    code: errors.ProblemCode, request: http.Request, source: Source | None, receiver: "Receiver"
) -> str | None:
    """Return the likely cause of a rejection with this code by the receiver; None if none is known.

    `source` has rejected the request; None if no source has its path.
    """
    if source is None or code == "unknown_source":
        return _path_cause(request.path, receiver.sources)
    if code == "method_not_allowed":
        return handshake_cause(request, source)
    if code == "address_not_allowed":
        return _address_cause(request, source)
    return await _authentication_cause(request, source, receiver)


async def _authentication_cause(request: http.Request, source: Source, receiver: "Receiver") -> str | None:
    """Return the cause for the first scheme that the request carries credentials for; None if none is known.

    The source has rejected the request, whose body is complete.
    """
    if not source.auth or len(request.body) > MAX_BODY_BYTES:
        return None
    if cause := handshake_cause(request, source):
        return cause
    auth = attempted(request, source.auth)[0]
    try:
        async with asyncio.timeout(SECRETS_SECONDS):
            own_values = await receiver.secrets.values(auth.secret) if auth.secret else ()
            values_of_others = await _values_of_others(source.name, receiver)
    except (TimeoutError, errors.Temporary):
        return None
    url = requested_url(request, source)
    # Among the sources that sign a template, those of a provider in the catalogue have formats, and no others.
    is_of_provider = bool(source.formats)
    now = receiver.clock.now()
    return rejection_cause(request, auth, own_values, now, url, values_of_others, is_of_provider)


async def _values_of_others(name: str, receiver: "Receiver") -> dict[str, Sequence[str]]:
    """Return the values of the secrets of other sources, by source. Only the first MAX_OTHERS sources are looked at.

    A secret that cannot be read is left out.
    """
    values: dict[str, Sequence[str]] = {}
    for other, source in list(receiver.sources.items())[:MAX_OTHERS]:
        if other == name:
            continue
        for secret in source.secret_names:
            try:
                values[other] = (*values.get(other, ()), *await receiver.secrets.values(secret))
            except errors.Temporary:  # the other source's own requests show this
                continue
    return values


def rejection_cause(
    request: http.Request,
    auth: AuthScheme,
    secrets: Sequence[str],
    now: float,
    url: str | None = None,
    others: Mapping[str, Sequence[str]] | None = None,
    is_of_provider: bool = False,
) -> str | None:
    """Return the likely cause of a rejection by this scheme; None if none is known.

    `others` has the values of other sources' secrets, by source. `is_of_provider` says that the scheme is that of a
    provider in the catalogue.
    """
    if auth.scheme == "jwt":
        from shared.signatures.jwt import JwtScheme

        assert isinstance(auth, JwtScheme)
        return tokens.token_cause(Case(request, auth, secrets, url), auth, now)
    if auth.scheme not in signatures.EXPLAINED_SCHEMES and auth.scheme not in passwords.PASSWORDS:
        return None
    if auth.looks_in_body and len(request.body) > signatures.MAX_PARSED_BYTES:
        return signatures.TOO_LARGE
    if auth.looks_in_body and bodies.is_broken(request):
        return f"the credentials are in the body, and {bodies.BROKEN}"
    is_content_fixed = is_of_provider or auth.scheme == "standard-webhooks"
    case = as_signed(Case(request, auth, secrets, url, is_content_fixed))
    is_password = auth.scheme in passwords.PASSWORDS
    if not is_password and (cause := signatures.signature_cause(case, now)):
        return cause
    if holds(case):  # the credentials are right, so another check rejected the request
        return None
    if cause := _mixed_up(case, others or {}):
        return cause
    return passwords.wrong_password(case) if is_password else signatures.unknown_signature(case, auth)


def _mixed_up(case: Case, others: Mapping[str, Sequence[str]]) -> str | None:
    """Return the cause if the credentials are right for another source's secret; else None."""
    for name, secrets in others.items():
        if holds(replace(case, secrets=secrets)):
            return f"the secret of the source {name!r} is the right one: it was meant for that, or the two are mixed up"
    return None


def handshake_cause(request: http.Request, source: Source) -> str | None:
    """Return the cause if the request is a handshake, with a wrong token or of another provider; else None."""
    fields = RequestFields(request)
    for handshake in source.handshakes:
        if handshake.checks and handshake.method == request.method and fields.meets(handshake.when):
            places = " and ".join(f"{described(place)} is not the secret {name!r}" for place, name in handshake.checks)
            return f"this is the provider's handshake, and its token {places}: enter the same token at the provider"
    if source.handshakes:
        return None
    for provider, (place, wanted) in PROVIDER_HANDSHAKES.items():
        text = fields.text(place)
        is_handshake = text == wanted if wanted else text is not None
        if is_handshake:
            rule = f"this is a handshake as {provider} sends it ({described(place)}), and this source answers none"
            return f"{rule}: set `provider: {provider}`, or the provider that sends to you"
    return None


def _address_cause(request: http.Request, source: Source) -> str | None:
    """Return the cause if a proxy's address may have been compared with the `allow` list; else None."""
    if request.header("x-forwarded-for") is None:
        return None
    if source.trusted_proxies:
        return "of X-Forwarded-For, the last `trusted_proxies` addresses are yours: their number may be another one"
    return "the address that connects was compared: if that is your own proxy, set `trusted_proxies: 1`"


def attempted(request: http.Request, schemes: Sequence[AuthScheme]) -> list[AuthScheme]:
    """Return the schemes that the request carries credentials for; if there are none, all schemes."""
    attempted_schemes = [auth for auth in schemes if _is_attempted(request, auth)]
    if attempted_schemes:
        return attempted_schemes
    if request.header("authorization") is None:
        return list(schemes)
    # The schemes of passwords come first, because the Authorization header has a password and no signature.
    return sorted(schemes, key=lambda auth: auth.scheme not in passwords.PASSWORDS)


def _is_attempted(request: http.Request, auth: AuthScheme) -> bool:
    if auth.scheme in passwords.PASSWORDS:
        return passwords.has_any(Case(request, auth, ()))
    return is_attempted(RequestFields(request), auth)


def _path_cause(path: str, sources: Mapping[str, Source]) -> str | None:
    """Return the cause with the path that the sender probably means; None if no source has a similar one.

    The text has names of configured sources only. The path that was requested may have a token or anything else in it.
    """
    sent_name = source_name(path) or path.strip("/")  # the first segment is empty if the path begins with two slashes
    named = next((segment for segment in (sent_name, *path.split("/")) if segment in sources), None)
    if named is not None:
        # Where a token follows the source's name, the token is at fault, and the path may be right.
        return None if sources[named].takes_path_token else f"the URL of this source ends in /{named}"
    if not 0 < len(sent_name) <= MAX_NAME:
        return None
    near = did_you_mean.nearest(sent_name, sources)
    return f"the path of the source with the nearest name is /{near}" if near else None


def leaves_secret_open(cause: str) -> bool:
    """Return whether a cause leaves open which side has the wrong secret. Then the value in `.env` may be the wrong
    one.

    The cause is recognised by its words, because the local supervisor has only the text, from a log line.
    """
    return any(part in cause for part in _OPEN_CAUSES)
