"""What the proxies in front say of a request: who sent it, and to which URL. Only as many are believed as the source
trusts, counted from ours outwards; what stands before their words in a header, the sender may have written itself."""

import re
from typing import Final

from functions.receive.sources import Source
from shared.http import Request

_PORT: Final = re.compile(r":[0-9]+$")
_IN_BRACKETS: Final = re.compile(r"\[([^\]]*)\](?::[0-9]+)?")


def sender_address(request: Request, trusted_proxies: int) -> str:
    """Its text, without a port; empty where nobody can say."""
    if trusted_proxies == 0:
        return request.peer
    hops = [hop.strip() for hop in (request.header("x-forwarded-for") or "").split(",") if hop.strip()]
    if not hops:  # it came past the proxies, or there are none here
        return request.peer
    return _without_port(hops[-trusted_proxies]) if len(hops) >= trusted_proxies else ""


def _without_port(hop: str) -> str:
    if in_brackets := _IN_BRACKETS.fullmatch(hop):
        return in_brackets[1]
    return _PORT.sub("", hop) if hop.count(":") == 1 else hop


def requested_url(request: Request, source: Source) -> str:
    """The URL that the sender used, which is what it signs: exactly as configured, else as the request says."""
    query = f"?{request.query}" if request.query else ""
    if source.public_url:
        token = request.path.removeprefix("/").partition("/")[2]
        url = f"{source.public_url.rstrip('/')}/{token}" if token else source.public_url
        return url + query
    scheme, host = "http", request.header("host") or ""
    if source.trusted_proxies:
        scheme = last_told(request, "x-forwarded-proto") or scheme
        host = last_told(request, "x-forwarded-host") or host
    return f"{scheme}://{host}{request.path}{query}"


def last_told(request: Request, name: str) -> str:
    """The nearest proxy's word in a header that each adds to."""
    return (request.header(name) or "").rpartition(",")[2].strip()
