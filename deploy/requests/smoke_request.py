"""The request of a smoke test: it is signed as its source needs, and posted. And the recipients that it can reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.requests import posting, sender_keys, signing, sources
from deploy.terminal.command_line import CommandError
from functions.receive.admission import requested_url
from functions.receive.source import read_sources
from shared import errors, http
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at
from shared.signatures import auth_scheme, content_signing

SEND_SECONDS: Final = 15.0
"""How long a deployment may take for its response: a function may have to start first."""


@dataclass(frozen=True, slots=True)
class SmokeTarget:
    """The source that a smoke test posts to.

    url          the URL of the deployment, with the source's path
    source       the source's name
    settings     its settings in the slice of receive
    auth         the scheme by which the request is signed
    read_secret  returns the newest value of the secret with that name
    """

    url: str
    source: str
    settings: JsonObject
    auth: auth_scheme.AuthScheme
    read_secret: Callable[[str], str]


def usable_auth(source: Json) -> auth_scheme.AuthScheme | None:
    """Return the first of the source's auth schemes for which the secret is enough to sign."""
    for auth in map(auth_scheme.read_scheme, sources.auth_entries(source)):
        if not (auth.scheme == "link" or auth.needs_key or sender_keys.is_asymmetric(auth)):
            return auth
    return None


def post_signed(target: SmokeTarget, unsigned: http.Request, delivery_id: str, now: float) -> Outcome:
    """Sign the request, post it until it is confirmed, and return the last outcome.

    The delivery has that id and is of the time `now`, in Unix seconds. Raises CommandError if the request cannot be
    made or signed.
    """
    secret = target.read_secret(target.auth.secret) if target.auth.secret else ""
    try:
        signer = signing.Signer(target.auth, secret, signed_url(target), now, delivery_id)
        aimed = posting.aim_request(unsigned, target.url)
        request = signing.sign_request(content_signing.with_header(aimed, "user-agent", "hookchain-smoke"), signer)
    except (ValueError, errors.HookchainError) as error:
        raise CommandError(error.detail if isinstance(error, errors.HookchainError) else str(error)) from error

    def send() -> Outcome:
        return read_outcome(posting.post_request(request, target.url, SEND_SECONDS), SEND_SECONDS)

    return posting.send_until_confirmed(send, lambda outcome: outcome)


def signed_url(target: SmokeTarget) -> Callable[[http.Request], str]:
    """Return how receive sees a request's URL: the proxies in front of it tell the URL's scheme."""
    [source] = read_sources({"sources": {target.source: target.settings}}).values()
    scheme = urlsplit(target.url).scheme
    return lambda request: requested_url(content_signing.with_header(request, "x-forwarded-proto", scheme), source)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A destination that an event can reach. `address` is what _address returns for its settings."""

    destination: str
    kind: str
    address: str


def possible_recipients(slices: Mapping[str, JsonObject], source: str, event_type: str | None) -> list[Recipient]:
    """Return the destinations of all routes that accept the type, or any type without one.

    `where` and steps may still stop the event.
    """
    found = mappings_at(slices["notify"], "destinations")
    return [
        Recipient(name, str(found[name].get("kind")), _address(mapping_at(found[name], "settings")))
        for name in sources.destinations_from(slices["transform"], source, event_type)
    ]


def _address(settings: JsonObject) -> str:
    """Return the first mail addresses in the settings, else the URL, else an empty text."""
    addresses = [each for key in ("to", "cc", "bcc") for each in _texts(settings.get(key))]
    if addresses:
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(addresses[:3]) + more
    return str(settings.get("url") or "")


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [value] if isinstance(value, str) else []
