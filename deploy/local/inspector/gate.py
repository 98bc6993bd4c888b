"""Who may read the page, and who may act through it: this machine's programs, and the page itself.

deploy.local.guard has refused other hosts' names and other machines' origins by now.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def refusal(method: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Why a request is refused, in words; None where it may pass.

    A page of another port of this machine is another site, too. A browser sends JSON elsewhere only after it has asked
    and been allowed, which it never is here; so whatever acts has to be JSON.
    """
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "Another site's page may not use the inspector."
    if headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"} and not _is_visit(method, headers):
        return "Another site's page may not use the inspector."
    if method == "POST" and headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return "What acts is sent as application/json."
    return None


def _is_visit(method: str, headers: Mapping[str, str]) -> bool:
    """A link on another page that a person followed."""
    return (
        method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )


@web.middleware
async def same_site_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if reason := refusal(request.method, request.host, request.headers):
        raise web.HTTPForbidden(text=reason + "\n")
    return await handler(request)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Before an answer goes out; one that has a policy of its own keeps it."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
