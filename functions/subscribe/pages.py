"""The pages: the portal, the published catalogue, and the API's OpenAPI document. They are the same for everybody.

The portal has the files that are in the folder page/ when the process starts. The path of a request is looked up among
their names. It never becomes a path of the file system, so it cannot lead to another file.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from functions.subscribe.problems import MethodRejected, not_found
from functions.subscribe.service import Service
from functions.subscribe.settings import SubscribeSettings
from shared.http import Headers, Reply, Request

FOLDER: Final = Path(__file__).with_name("page")
OPENAPI: Final = Path(__file__).with_name("openapi.json")
PORTAL: Final = "/portal"
DOCS: Final = "/docs"
OPENAPI_PATHS: Final = frozenset({"/openapi.json", "/v1/openapi.json"})
TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
CATALOGUE_SECONDS: Final = 60.0
"""The time for which the page of the catalogue is used again."""
_ALLOWED: Final = "GET, HEAD, OPTIONS"
_CACHE: Final = ("cache-control", "no-cache")
"""A browser uses its copy only after it has asked, by ETag, whether the copy is still valid."""


class Content(NamedTuple):
    """A page or a file, with its content type and its ETag."""

    body: bytes
    type: str
    etag: str


async def answer_page(service: Service, request: Request) -> Reply | None:
    """Return the reply; None for a path of the API. Raises ApiProblem (`not_found`) and MethodRejected."""
    path = request.path
    is_portal = path == PORTAL or path.startswith(f"{PORTAL}/")
    is_page = is_portal or path == DOCS or path in OPENAPI_PATHS
    if not is_page:
        return None
    if request.method == "OPTIONS":
        return Reply(204, headers=(("allow", _ALLOWED),))
    if request.method not in {"GET", "HEAD"}:
        raise MethodRejected(_ALLOWED)
    if path in OPENAPI_PATHS:
        return _reply(request, _content(OPENAPI), ())
    if path == DOCS:
        return await _reply_with_catalogue(service, request)
    if path == f"{PORTAL}/":
        # The page has relative links such as `portal/page.js`, which are right only without the slash at the end. The
        # location is relative too, because a proxy may have put a path before this one.
        return Reply(308, headers=(("location", "../portal"), _CACHE))
    content = portal_files().get(path.removeprefix(PORTAL).removeprefix("/") or "index.html")
    if content is None:
        raise not_found("page")
    return _reply(request, content, page_headers(service.settings))


async def _reply_with_catalogue(service: Service, request: Request) -> Reply:
    """Return the page of the catalogue, which is made again after CATALOGUE_SECONDS. Raises Temporary."""
    # Imported here, because few requests need it.
    from functions.subscribe.catalogue import MAX_ANSWER_BYTES, catalogue_part
    from shared.subscribers.catalogue_page import STYLE_HASH, catalogue_page

    kept = service.published_catalogue
    now = service.clock.now()
    settings = service.settings
    if now >= kept.until:
        part = await catalogue_part(service)
        page = catalogue_page(
            part.types,
            settings.portal_name,
            settings.payload,
            settings.portal_logo,
            max_bytes=MAX_ANSWER_BYTES,
            is_whole=part.is_whole,
        )
        kept.page = page.encode("utf-8", "replace")  # half a surrogate pair cannot be encoded
        kept.until = now + CATALOGUE_SECONDS
    return _reply(request, content_of(kept.page, TYPES[".html"]), page_headers(settings, STYLE_HASH))


@cache
def portal_files() -> Mapping[str, Content]:
    """Return the files by name."""
    return {path.name: _content(path) for path in FOLDER.glob("*") if path.suffix in TYPES and path.is_file()}


@cache
def _content(path: Path) -> Content:
    return content_of(path.read_bytes(), TYPES[path.suffix])


def content_of(body: bytes, type_: str) -> Content:
    return Content(body, type_, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def page_headers(settings: SubscribeSettings, style_hash: str = "") -> Headers:
    """Return the headers of a page: it runs its own scripts only, and is embedded by the allowed origins only.

    `style_hash` allows the one style that the page has in itself; empty if it has none.
    """
    ancestors = " ".join(settings.portal_origins) or "'none'"
    styles = f"'self' '{style_hash}'" if style_hash else "'self'"
    images = " ".join(["'self'", "data:", *_origin(settings.portal_logo)])
    policy = (
        "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; "
        f"style-src {styles}; img-src {images}; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
    framing: Headers = () if settings.portal_origins else (("x-frame-options", "DENY"),)
    return (("content-security-policy", policy), ("referrer-policy", "no-referrer"), *framing)


def _origin(url: str) -> tuple[str, ...]:
    """Return the origin of an https URL; nothing for another URL."""
    parts = urlsplit(url)
    return (f"{parts.scheme}://{parts.netloc}",) if parts.scheme == "https" else ()


def _reply(request: Request, content: Content, headers: Headers) -> Reply:
    """Return the content, or a 304 if the browser's copy is still valid."""
    common = (("etag", content.etag), _CACHE, *headers)
    if_none_match = request.header("if-none-match") or ""
    # A proxy that compresses the reply marks the ETag as weak, with W/.
    etags_of_copies = [etag.strip().removeprefix("W/") for etag in if_none_match.split(",")]
    if content.etag in etags_of_copies or "*" in etags_of_copies:
        return Reply(304, headers=common)
    return Reply(200, content.body, (("content-type", content.type), *common))
