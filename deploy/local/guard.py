"""Who may talk to a local service: programs on this machine, and no other site's page in a browser."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from deploy.local.loopback import is_loopback


@web.middleware
async def local_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A page elsewhere can make a browser send requests here, but not hide its Origin; and a name that was made to
    point here (DNS rebinding) stands in Host."""
    origin = request.headers.get("Origin")
    if not is_local(f"//{request.host}") or (origin is not None and not is_local(origin)):
        raise web.HTTPForbidden(text="This local service answers programs and pages of this machine only.\n")
    return await handler(request)


@lru_cache(maxsize=64)
def is_local(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
