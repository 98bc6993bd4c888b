"""The requests that a local service accepts: those of programs on this machine and of its own pages.

Who may connect at all is decided before: see deploy.dev.site.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from deploy.config.slices import is_loopback

FOREIGN_PAGE: Final = "A page of another site must not use this local service."
_JSON: Final = "application/json"


@web.middleware
async def local_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Reject requests of other sites' pages, and requests that act without being JSON."""
    if reason := rejection_reason(request.method, request.host, request.headers):
        raise web.HTTPForbidden(text=reason + "\n")
    return await handler(request)


def rejection_reason(method: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Return the reason to reject a request, or None.

    Host has a name that was made to point at this machine (DNS rebinding). A page on another port of this machine is
    another site too, and a browser always sends its Origin. A browser sends JSON, and PUT, PATCH and DELETE, to another
    site only with that site's permission, which is never given here.
    """
    if not is_local(f"//{host}"):
        return "This local service answers requests for localhost only."
    origin = headers.get("Origin")
    if origin is not None and _netloc(origin) != host:
        return FOREIGN_PAGE
    if headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"} and not _is_visit(method, headers):
        return FOREIGN_PAGE
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_empty = not content_type and headers.get("Content-Length") == "0"
    if method == "POST" and content_type != _JSON and not is_empty:
        got = content_type or "none"
        return (
            f"Content-Type: must be {_JSON} in a POST; got {got}. Senders use the URLs that `hookchain sources` prints."
        )
    return None


def _is_visit(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a person followed a link on another page."""
    return (
        method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


@lru_cache(maxsize=64)
def is_local(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
