"""The likely cause of a rejection, for the operator's log and never for the sender.

A cause names rules, configured names and headers' names. It never holds a secret, a header's value or a part of the
body.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from functions.receive.admission import requested_url, source_name
from functions.receive.diagnosis.bodies import is_broken_json
from functions.receive.diagnosis.passwords import PASSWORDS, has_any, wrong_password
from functions.receive.diagnosis.signatures import (
    DIFFERENT_SECRET,
    Case,
    SignedCase,
    as_signed,
    guesses,
    holds,
    is_secret_itself,
    list_fault,
    missing,
    mistimed,
    prefixed,
)
from functions.receive.source import Source
from shared.did_you_mean import nearest
from shared.errors import Temporary
from shared.http import Request
from shared.ports import Secrets
from shared.signatures.auth_scheme import AuthScheme, described, is_attempted
from shared.signatures.locations import Location, RequestFields

MAX_TRIES: Final = 100
MAX_SIGNED_BYTES: Final = 4 * 1024 * 1024
"""The limit for all guesses of one diagnosis: for a large body few are tried, for a huge one none."""
MAX_PARSED_BYTES: Final = 65_536
"""The limit for a body that is parsed again with each guess."""
SIGNED: Final = frozenset({"hmac", "digest", "ed25519", "ecdsa", "rsa", "standard-webhooks"})
_NOTHING: Final = (
    f"none of the usual encodings, algorithms and contents gives this signature: {DIFFERENT_SECRET}, such as its"
    " test-mode secret, or {} was changed on the way{}. Compare the secret with the sender's settings first"
)
_OTHER_CONTENT: Final = ", or the sender signs something else than this source's `content`"
_NO_URL: Final = (
    "the signature covers the URL, and no spelling of the URL here makes it right. Set `public_url` to the URL as the"
    f" sender has it; otherwise {DIFFERENT_SECRET}, or the body was changed on its way"
)
_SENT_ITSELF: Final = (
    "the secret itself stands in the place of the signature: the sender must sign with it, and never send it. If the"
    " sender can only send a token, set `auth: {scheme: header, …}`"
)
_BROKEN: Final = "the body is not complete JSON: it was cut or changed on its way, or something else was sent"
_TOO_LARGE: Final = "the body is too large to try other forms of it; compare the secret first"


def rejection_cause(
    request: Request,
    auth: AuthScheme,
    secrets: Sequence[str],
    now: float,
    url: str | None = None,
    others: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Return the likely cause; None if none is known. `others` are the secrets of the other sources, by source."""
    case = as_signed(Case(request, auth, secrets, url))
    if auth.scheme not in SIGNED and auth.scheme not in PASSWORDS:
        return None
    if auth.looks_in_body and len(request.body) > MAX_PARSED_BYTES:
        return _TOO_LARGE
    if auth.looks_in_body and _is_broken(request):
        return f"the credentials are in the body, and {_BROKEN}"
    if cause := _why(case, now):
        return cause
    return None if holds(case) else _mixed_up(case, others or {}) or _no_guess(case, auth)


def _why(case: Case, now: float) -> str | None:
    if case.auth.scheme in PASSWORDS:
        return None
    if isinstance(case, SignedCase) and (cause := missing(case) or list_fault(case) or mistimed(case, now)):
        return cause
    if holds(case):  # the signature is right, so another check rejected the request
        return None
    if isinstance(case, SignedCase) and is_secret_itself(case):
        return _SENT_ITSELF
    if isinstance(case, SignedCase) and (found := prefixed(case)):
        with_prefix, fault = found
        if holds(with_prefix):
            return fault
        return f"{fault}; {cause}" if (cause := _first_guess(with_prefix)) else None
    return _first_guess(case)


def _first_guess(case: Case) -> str | None:
    return next((guess.cause for guess in islice(guesses(case), _tries(case)) if holds(guess.case)), None)


def _tries(case: Case) -> int:
    most_bytes = 8 * MAX_PARSED_BYTES if case.auth.looks_in_body else MAX_SIGNED_BYTES
    return min(MAX_TRIES, most_bytes // (len(case.request.body) + 1) // max(1, len(case.secrets)))


def _mixed_up(case: Case, others: Mapping[str, Sequence[str]]) -> str | None:
    """Return a cause where the signature was made with another source's secret."""
    for name, secrets in others.items():
        if holds(replace(case, secrets=secrets)):
            return f"the secret of the source {name!r} is the right one: it was meant for that, or the two are mixed up"
    return None


def _no_guess(case: Case, auth: AuthScheme) -> str:
    if case.auth.scheme in PASSWORDS:
        return wrong_password(case)
    digest = case.auth.body_digest if isinstance(case, SignedCase) else None
    if digest and not _is_digest_right(case, digest):
        return "the SHA-256 that was sent belongs to another body: something changed or cut the body on its way"
    if _is_broken(case.request):
        return f"{_BROKEN}; otherwise {DIFFERENT_SECRET}"
    if _tries(case) < MAX_TRIES:
        return _TOO_LARGE
    if isinstance(case, SignedCase) and "url" in case.auth.content:
        return _NO_URL
    places = (case.auth.id, case.auth.timestamp) if isinstance(case, SignedCase) else ()
    changed = " or ".join([*(described(place) for place in places if place), "the body"])
    return _NOTHING.format(changed, "" if auth.scheme == "standard-webhooks" else _OTHER_CONTENT)


def _is_broken(request: Request) -> bool:
    if request.header("content-encoding"):  # a compressed body shows nothing
        return False
    return is_broken_json(request.body, request.header("content-type") or "")


def _is_digest_right(case: Case, location: Location) -> bool:
    text = RequestFields(case.request, case.url).text(location) or ""
    return text.lower() == hashlib.sha256(case.request.body).hexdigest()


MAX_OTHERS: Final = 8
SECRETS_SECONDS: Final = 0.2
MAX_BODY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rejection:
    """A whole request and the source that rejected it."""

    request: Request
    source: Source
    sources: Mapping[str, Source]


async def diagnose(rejection: Rejection, secrets: Secrets, now: float) -> str | None:
    """Return the cause for the first scheme that the request carries credentials for; None if none is known."""
    source, request = rejection.source, rejection.request
    if not source.auth or len(request.body) > MAX_BODY_BYTES:
        return None
    if cause := handshake_cause(request, source):
        return cause
    schemes = attempted(request, source.auth)
    try:
        async with asyncio.timeout(SECRETS_SECONDS):
            own = await secrets.values(schemes[0].secret) if schemes[0].secret else ()
            others = await _others(rejection, secrets)
    except (TimeoutError, Temporary):
        return None
    return rejection_cause(request, schemes[0], own, now, requested_url(request, source), others)


async def _others(rejection: Rejection, secrets: Secrets) -> Mapping[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for name, source in list(rejection.sources.items())[:MAX_OTHERS]:
        for secret in {auth.secret for auth in source.auth if auth.secret}:
            if name != rejection.source.name:
                try:
                    found[name] = (*found.get(name, ()), *await secrets.values(secret))
                except Temporary:  # another source's trouble is none of this one's
                    continue
    return found


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
"""What shows each provider's handshake: a location, and its text; empty where any text does. The catalogue's
`when`, which receive has of its own sources' providers alone."""


def handshake_cause(request: Request, source: Source) -> str | None:
    """Return the cause where the request is a handshake: with a wrong token, or of another provider."""
    fields = RequestFields(request)
    for handshake in source.handshakes:
        if handshake.checks and handshake.method == request.method and fields.meets(handshake.when):
            named = " and ".join(f"{described(place)} is not the secret {name!r}" for place, name in handshake.checks)
            return f"this is the provider's handshake, and its token {named}: enter the same token at the provider"
    for provider, (place, wanted) in () if source.handshakes else PROVIDER_HANDSHAKES.items():
        text = fields.text(place)
        if text == wanted if wanted else text is not None:
            rule = f"this is a handshake as {provider} sends it ({described(place)}), and this source answers none"
            return f"{rule}: set `provider: {provider}`, or the provider that sends to you"
    return None


def attempted(request: Request, schemes: Sequence[AuthScheme]) -> list[AuthScheme]:
    """Return the schemes that the request carries credentials for, or all of them."""
    return [auth for auth in schemes if _is_attempted(request, auth)] or list(schemes)


def _is_attempted(request: Request, auth: AuthScheme) -> bool:
    return has_any(Case(request, auth, ())) if auth.scheme in PASSWORDS else is_attempted(RequestFields(request), auth)


MAX_NAME: Final = 63
"""The longest name of a source. A longer path is not compared: the cost grows with its square."""


def other_path(path: str, sources: Mapping[str, Source]) -> str | None:
    """Return the path that the sender probably means; None if no source has a similar one.

    It names configured sources only: the path that was requested may hold a token or anything else.
    """
    name = source_name(path) or path.strip("/")  # an empty name: the path begins with two slashes
    if source := sources.get(name):
        return None if source.takes_path_token else f"the URL of this source ends in /{name}"
    near = nearest(name, sources) if 0 < len(name) <= MAX_NAME else None
    return f"the path of the source with the nearest name is /{near}" if near else None
