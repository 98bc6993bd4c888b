"""The smoke test's request: the recipients that its event can reach, and posting it signed as its source needs."""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.requests.generated_keys import is_asymmetric
from deploy.requests.posting import aim_request, post_request
from deploy.requests.repeating import send_until_confirmed
from deploy.requests.signing import Signer, sign_request
from deploy.requests.sources import auth_entries, routes_from
from deploy.terminal.command_line import CommandError
from functions.receive.admission import requested_url
from functions.receive.source import read_sources
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.edits import with_header

SEND_SECONDS: Final = 15.0
_LINK: Final = "link"


@dataclass(frozen=True, slots=True)
class Posting:
    """Target of a smoke request. `settings` are the source's in the slice; `read_secret` returns its newest value."""

    url: str
    source: str
    settings: JsonObject
    auth: AuthScheme
    read_secret: Callable[[str], str]


def usable_auth(source: Json) -> AuthScheme | None:
    """Return the first of the source's auth schemes for which the secret is enough to sign."""
    return next((auth for auth in map(read_scheme, auth_entries(source)) if _is_usable(auth)), None)


def _is_usable(auth: AuthScheme) -> bool:
    return not (auth.scheme == _LINK or auth.needs_key or is_asymmetric(auth))


def post(posting: Posting, unsigned: Request, mark: str, now: float) -> Outcome:
    """Sign the request and post it. Raises CommandError where it could not be made."""
    secret = posting.read_secret(posting.auth.secret) if posting.auth.secret else ""
    try:
        request = with_header(aim_request(unsigned, posting.url), "user-agent", "hookchain-smoke")
        request = sign_request(request, Signer(posting.auth, secret, signed_url(posting), now, mark))
    except (ValueError, HookchainError) as error:
        raise CommandError(error.detail if isinstance(error, HookchainError) else str(error)) from error

    def send() -> Outcome:
        return read_outcome(post_request(request, posting.url, SEND_SECONDS), SEND_SECONDS)

    return send_until_confirmed(send, lambda outcome: outcome)


def signed_url(posting: Posting) -> Callable[[Request], str]:
    """Return how receive sees a request's URL: the proxies in front of it tell the URL's scheme."""
    [source] = read_sources({"sources": {posting.source: posting.settings}}).values()
    scheme = urlsplit(posting.url).scheme
    return lambda request: requested_url(with_header(request, "x-forwarded-proto", scheme), source)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A destination that an event can reach. `addresses` are mail addresses or a URL, where the settings have them."""

    destination: str
    kind: str
    addresses: str


def possible_recipients(slices: Mapping[str, JsonObject], source: str, event_type: str | None) -> list[Recipient]:
    """Return the destinations of all routes that accept the type, or any type without one.

    `where` and steps may still stop the event.
    """
    names: dict[str, None] = {}
    for route in routes_from(slices["transform"], source):
        types = _texts(route.get("types"))
        if event_type is None or not types or any(fnmatch.fnmatchcase(event_type, each) for each in types):
            names.update(dict.fromkeys(_texts(route.get("to"))))
    return list(_recipients(slices["notify"], list(names)))


def _recipients(notify: JsonObject, names: list[str]) -> Iterator[Recipient]:
    destinations = notify.get("destinations")
    for name in names:
        destination = destinations.get(name) if isinstance(destinations, dict) else None
        if isinstance(destination, dict):
            settings = destination.get("settings")
            addresses = _addresses(settings) if isinstance(settings, dict) else ""
            yield Recipient(name, str(destination.get("kind")), addresses)


def _addresses(settings: JsonObject) -> str:
    addresses = [each for key in ("to", "cc", "bcc") for each in _texts(settings.get(key))]
    if addresses:
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(addresses[:3]) + more
    return str(settings.get("url") or "")


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [value] if isinstance(value, str) else []
