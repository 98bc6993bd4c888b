"""The headers that every answer of the inspector carries. Who may ask is decided by deploy.dev.guard."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

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


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Before an answer goes out; one that has a policy of its own keeps it."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
