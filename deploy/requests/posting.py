"""Post a prepared request: aim it at a URL before it is signed, then send it there."""

from dataclasses import replace
from urllib.parse import urlsplit

from deploy.client.hookchain.http import NoResponse, Response, make_request, parse_url
from shared.http import Request
from shared.signatures.edits import with_header


def aim_request(request: Request, url: str) -> Request:
    """Return the request with the URL's host and path, and its query before the request's own. Raises ValueError."""
    path, _, query = parse_url(url).path.partition("?")
    both = "&".join(filter(None, (query, request.query)))
    return with_header(replace(request, path=path, query=both), "host", urlsplit(url).netloc)


def post_request(request: Request, url: str, timeout_seconds: float) -> Response | NoResponse:
    """Send the request, whose path and query may have a token by now, to the URL's host. Raises ValueError."""
    path = request.path + (f"?{request.query}" if request.query else "")
    target = replace(parse_url(url), path=parse_url(f"http://host{path}").path)
    headers = [pair for pair in request.headers if pair[0] != "host"]
    return make_request(request.method, target, headers, request.body, timeout_seconds)
