"""Post a request: aim it at a URL before it is signed, send it there, and again while it is not confirmed."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from deploy.client.hookchain.http import NoResponse, Response, make_request, parse_url
from deploy.client.hookchain.outcome import Outcome
from shared import http
from shared.signatures import content_signing


def aim_request(request: http.Request, url: str) -> http.Request:
    """Return the request with the URL's host and path, and its query before the request's own. Raises ValueError."""
    path, _, query = parse_url(url).path.partition("?")
    both = "&".join(filter(None, (query, request.query)))
    return content_signing.with_header(replace(request, path=path, query=both), "host", urlsplit(url).netloc)


def post_request(request: http.Request, url: str, timeout_seconds: float) -> Response | NoResponse:
    """Send the request, whose path and query may have a token by now, to the URL's host. Raises ValueError."""
    path = request.path + (f"?{request.query}" if request.query else "")
    path_and_query = parse_url(f"http://host{path}").path  # it is verified like that of any URL
    target = replace(parse_url(url), path=path_and_query)
    headers = [pair for pair in request.headers if pair[0] != "host"]
    return make_request(request.method, target, headers, request.body, timeout_seconds)


MAX_SENDS: Final = 3
"""How often an event is sent at most."""
WAIT_SECONDS: Final = 5.0
"""The wait after a 503 that asks for none."""
LONGEST_WAIT_SECONDS: Final = 30.0
"""The longest wait that a 503 may ask for: a person is waiting for the command."""

Sent = TypeVar("Sent")


def send_until_confirmed(
    send: Callable[[], Sent],
    outcome_of: Callable[[Sent], Outcome],
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send an event, and send it again after each 503, MAX_SENDS times in all. Return what `send` returned last.

    Print each wait to standard error: it is the receiver's `Retry-After`. An event for which it asks for a long wait
    is not sent again.
    """
    for number in range(1, MAX_SENDS):
        sent = send()
        outcome = outcome_of(sent)
        wait = WAIT_SECONDS if outcome.retry_after_seconds is None else outcome.retry_after_seconds
        if outcome.status != 503 or wait > LONGEST_WAIT_SECONDS:
            return sent
        again = f"sending it again in {wait:g} s ({number + 1} of {MAX_SENDS})"
        print(f"not confirmed ({outcome.status} {outcome.code}): {again}", file=sys.stderr, flush=True)
        sleep(wait)
    return send()
