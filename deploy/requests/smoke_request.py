"""The request of a smoke test: it is signed as its source needs, and posted. And the recipients that it can reach."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.requests import posting, sender_keys, signing, sources
from deploy.terminal.command_line import CommandError
from functions.receive.admission import requested_url
from functions.receive.source import Source
from shared import errors, http
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at
from shared.signatures import auth_scheme, content_signing

SEND_SECONDS: Final = 15.0
"""How long a deployment may take for its response: a function may have to start first."""


def usable_auth(source: Json) -> auth_scheme.AuthScheme | None:
    """Return the first of the source's auth schemes for which the secret is enough to sign."""
    for auth in map(auth_scheme.read_scheme, sources.auth_entries(source)):
        if not (auth.scheme == "link" or auth.needs_key or sender_keys.is_asymmetric(auth)):
            return auth
    return None


def sign_for(
    source: Source, url: str, unsigned: http.Request, auth: auth_scheme.AuthScheme, secret: str, delivery_id: str
) -> http.Request:
    """Return the request to the source at this URL, signed now. Raises CommandError if it cannot be signed."""

    def received_url(request: http.Request) -> str:
        # The proxies in front of receive tell it the URL's scheme.
        return requested_url(content_signing.with_header(request, "x-forwarded-proto", urlsplit(url).scheme), source)

    try:
        signer = signing.Signer(auth, secret, received_url, time.time(), delivery_id)
        aimed = content_signing.with_header(posting.aim_request(unsigned, url), "user-agent", "hookchain-smoke")
        return signing.sign_request(aimed, signer)
    except (ValueError, errors.HookchainError) as error:
        raise CommandError(error.detail if isinstance(error, errors.HookchainError) else str(error)) from error


def post_signed(request: http.Request, url: str) -> Outcome:
    """Post the request until it is confirmed, and return the last outcome."""

    def send() -> Outcome:
        return read_outcome(posting.post_request(request, url, SEND_SECONDS), SEND_SECONDS)

    return posting.send_until_confirmed(send, lambda outcome: outcome)


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
