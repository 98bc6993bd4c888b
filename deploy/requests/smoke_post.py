"""Posting the test event as its source asks: the way, the secret, the URL."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from deploy.requests.edits import with_header
from deploy.requests.outcome import Outcome, outcome_of
from deploy.requests.signing import BY_CERTIFICATE, Signer, is_asymmetric, signed
from deploy.requests.source_lines import ways_of
from deploy.requests.wire import exchange, parse_target
from deploy.terminal.command_error import CommandError
from functions.receive.admission import requested_url
from functions.receive.source import read_sources
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.scheme import AuthScheme, read_scheme

SEND_SECONDS: Final = 15.0
_LINK: Final = "link"


@dataclass(frozen=True, slots=True)
class Posting:
    """`settings` are the source's in receive's slice; `secret_of` answers a secret's newest value."""

    url: str
    source: str
    settings: JsonObject
    way: AuthScheme
    secret_of: Callable[[str], str]


def usable_way(source: Json) -> AuthScheme | None:
    """The first of the source's ways for which the secret is enough to sign."""
    return next((way for way in map(read_scheme, ways_of(source)) if _is_usable(way)), None)


def _is_usable(way: AuthScheme) -> bool:
    return not (way.scheme in {*BY_CERTIFICATE, _LINK} or way.keys_url or is_asymmetric(way))


def post(posting: Posting, unsigned: Request, mark: str, now: float) -> Outcome:
    """Raises CommandError for what could not even be sent."""
    key = posting.secret_of(posting.way.secret) if posting.way.secret else ""
    try:
        target = parse_target(posting.url)
        path, _, query = target.path.partition("?")
        request = replace(unsigned, path=path, query="&".join(filter(None, (query, unsigned.query))))
        request = with_header(
            with_header(request, "host", urlsplit(posting.url).netloc), "user-agent", "hookchain-smoke"
        )
        request = signed(request, Signer(posting.way, key, url_of(posting), now, mark))
    except (ValueError, HookchainError) as error:
        raise CommandError(error.detail if isinstance(error, HookchainError) else str(error)) from error
    target = replace(target, path=request.path + (f"?{request.query}" if request.query else ""))
    headers = [pair for pair in request.headers if pair[0] != "host"]
    return outcome_of(exchange("POST", target, headers, request.body, SEND_SECONDS), SEND_SECONDS)


def url_of(posting: Posting) -> Callable[[Request], str]:
    """As receive will take it to be, behind whatever proxies it trusts: they tell it the URL's scheme."""
    [source] = read_sources({"sources": {posting.source: posting.settings}}).values()
    scheme = urlsplit(posting.url).scheme
    return lambda request: requested_url(with_header(request, "x-forwarded-proto", scheme), source)
