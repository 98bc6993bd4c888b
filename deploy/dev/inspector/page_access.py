"""The access to the page: by the page's token, or beside `hookchain serve` by a password.

The token is in the URL at the first visit, afterwards in a cookie, or in a header.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from shared.signatures.passwords import basic_credentials, bearer_token
from shared.signatures.signing import matches_any

READY_PATH: Final = "/favicon.ico"
"""Answered without a token: the supervisor requests it until the page is up."""
EVENTS_ELSEWHERE: Final = "the URLs that `hookchain sources` prints"
NO_PAGE: Final = "There is no page without the secret page-password.\n"
NEEDS_PASSWORD: Final = "The page needs the value of the secret page-password, with any user name.\n"  # noqa: S105
WRONG_PASSWORD_SECONDS: Final = 1.0
"""How long the answer to a wrong password takes, so that few can be tried on a connection."""
REJECTED_VISIT: Final = "Open the page with the URL that `make dev` or `hookchain status` prints: it has a token.\n"


@dataclass(frozen=True, slots=True)
class PageAccess:
    """The checks of a request to the page, as middlewares: `reject_events`, and that of the token or of a password.

    token          the page's token; not used with passwords
    events_advice  returns where to post events instead of here
    passwords      the values of page-password beside `hookchain serve`: without a value there is no page; None where
                   the token is required
    """

    token: str
    events_advice: Callable[[], str]
    passwords: tuple[str, ...] | None = None

    @web.middleware
    async def reject_events(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell a sender that this is the page: webhooks are posted to its port by mistake."""
        if request.method not in {"GET", "HEAD"} and not request.path.startswith("/api/"):
            text = f"this is the page; post events to {self.events_advice()}\n"
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], text=text)
        return await handler(request)

    @web.middleware
    async def require_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject requests without the token. The URL that has it is answered with a cookie and the URL without it.

        So the token is in no history entry, link or Referer.
        """
        if request.path == READY_PATH:
            return await handler(request)
        # Cookies are shared by all ports of a host, so the name has the port.
        cookie = f"hookchain-page-{re.sub(r'[^0-9]', '', request.host.rpartition(':')[2])}"
        if request.method == "GET" and request.path == "/" and self._is_token(request.query.get("token", "")):
            visited = web.HTTPSeeOther("/")
            visited.set_cookie(cookie, self.token, path="/", httponly=True, samesite="Lax")
            raise visited
        in_header = bearer_token(request.headers.get("Authorization")) or ""
        if not (self._is_token(request.cookies.get(cookie, "")) or self._is_token(in_header)):
            raise web.HTTPForbidden(text=REJECTED_VISIT)
        return await handler(request)

    @web.middleware
    async def require_password(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject requests without a password, in basic authentication with any user name."""
        if request.path == READY_PATH:
            return await handler(request)
        if not self.passwords:
            raise web.HTTPNotFound(text=NO_PAGE)
        _, password = basic_credentials(request.headers.get("Authorization"))
        if not matches_any([password or ""], self.passwords):
            if password:  # a browser's first request has none, and is answered at once
                await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            headers = {"WWW-Authenticate": 'Basic realm="Hookchain", charset="UTF-8"'}
            raise web.HTTPUnauthorized(text=NEEDS_PASSWORD, headers=headers)
        return await handler(request)

    def _is_token(self, text: str) -> bool:
        return matches_any([text], [self.token])
