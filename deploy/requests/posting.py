"""Post a request: aim it at a URL before it is signed, send it there, and again while it is not confirmed.

The smoke test signs one as its source needs, and names the recipients that its event can reach.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from deploy.client.hookchain.http import NoResponse, Response, make_request, parse_url
from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.requests import signing, sources
from deploy.terminal.command_line import CommandError
from functions.receive.admission import requested_url
from functions.receive.source import read_sources
from shared import errors, http
from shared.jsontext import Json, JsonObject, mapping_at, mappings_at
from shared.signatures import auth_scheme, content_signing


def aim_request(request: http.Request, url: str) -> http.Request:
    """Return the request with the URL's host and path, and its query before the request's own. Raises ValueError."""
    path, _, query = parse_url(url).path.partition("?")
    both = "&".join(filter(None, (query, request.query)))
    return content_signing.with_header(replace(request, path=path, query=both), "host", urlsplit(url).netloc)


def post_request(request: http.Request, url: str, timeout_seconds: float) -> Response | NoResponse:
    """Send the request, whose path and query may have a token by now, to the URL's host. Raises ValueError."""
    path = request.path + (f"?{request.query}" if request.query else "")
    target = replace(parse_url(url), path=parse_url(f"http://host{path}").path)
    headers = [pair for pair in request.headers if pair[0] != "host"]
    return make_request(request.method, target, headers, request.body, timeout_seconds)


MOST: Final = 3
"""How often an event is sent at most."""
WAIT_SECONDS: Final = 5.0
"""The wait after a 503 that asks for none."""
LONGEST_WAIT_SECONDS: Final = 30.0
"""The longest wait that a 503 may ask for: a person is waiting for the command."""

Sent = TypeVar("Sent")


def send_until_confirmed(
    send: Callable[[], Sent],
    outcome_of: Callable[[Sent], Outcome],
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Return what `send` returned last. It is called again after each 503, MOST times in all, with the same event.

    The wait is the receiver's `Retry-After`. An event for which it asks for a long wait is not sent again.
    """
    for number in range(2, MOST + 1):
        sent = send()
        outcome = outcome_of(sent)
        wait = WAIT_SECONDS if outcome.retry_after_seconds is None else outcome.retry_after_seconds
        if outcome.status != 503 or wait > LONGEST_WAIT_SECONDS:
            return sent
        say(f"not confirmed ({outcome.status} {outcome.code}): sending it again in {wait:g} s ({number} of {MOST})")
        sleep(wait)
    return send()


# The smoke test


SEND_SECONDS: Final = 15.0
"""How long a deployment may take for its response: a function may have to start first."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Target of a smoke request. `settings` are the source's in the slice; `read_secret` returns its newest value."""

    url: str
    source: str
    settings: JsonObject
    auth: auth_scheme.AuthScheme
    read_secret: Callable[[str], str]


def usable_auth(source: Json) -> auth_scheme.AuthScheme | None:
    """Return the first of the source's auth schemes for which the secret is enough to sign."""
    for auth in map(auth_scheme.read_scheme, sources.auth_entries(source)):
        if not (auth.scheme == "link" or auth.needs_key or signing.is_asymmetric(auth)):
            return auth
    return None


def post(posting: Posting, unsigned: http.Request, mark: str, now: float) -> Outcome:
    """Sign the request, post it until it is confirmed, and return the last outcome.

    `mark` is the delivery id that is signed, and `now` the time (Unix seconds). Raises CommandError if the request
    cannot be made or signed.
    """
    secret = posting.read_secret(posting.auth.secret) if posting.auth.secret else ""
    try:
        request = content_signing.with_header(aim_request(unsigned, posting.url), "user-agent", "hookchain-smoke")
        request = signing.sign_request(request, signing.Signer(posting.auth, secret, signed_url(posting), now, mark))
    except (ValueError, errors.HookchainError) as error:
        raise CommandError(error.detail if isinstance(error, errors.HookchainError) else str(error)) from error

    def send() -> Outcome:
        return read_outcome(post_request(request, posting.url, SEND_SECONDS), SEND_SECONDS)

    return send_until_confirmed(send, lambda outcome: outcome)


def signed_url(posting: Posting) -> Callable[[http.Request], str]:
    """Return how receive sees a request's URL: the proxies in front of it tell the URL's scheme."""
    [source] = read_sources({"sources": {posting.source: posting.settings}}).values()
    scheme = urlsplit(posting.url).scheme
    return lambda request: requested_url(content_signing.with_header(request, "x-forwarded-proto", scheme), source)


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
    found = mappings_at(slices["notify"], "destinations")
    return [
        Recipient(name, str(found[name].get("kind")), _addresses(mapping_at(found[name], "settings")))
        for name in sources.destinations_from(slices["transform"], source, event_type)
    ]


def _addresses(settings: JsonObject) -> str:
    """Return the first mail addresses, else the URL, else an empty text."""
    addresses = [each for key in ("to", "cc", "bcc") for each in _texts(settings.get(key))]
    if addresses:
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        return ", ".join(addresses[:3]) + more
    return str(settings.get("url") or "")


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [value] if isinstance(value, str) else []
