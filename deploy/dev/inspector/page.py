"""The page's own files."""

from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "page"
TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


async def index(_: web.Request) -> web.Response:
    return _file("index.html")


async def file(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


async def no_icon(_: web.Request) -> web.Response:
    """The page names its icon; whoever asks for this one is waiting for the start."""
    return web.Response(status=204)


def _file(name: str) -> web.Response:
    path = FOLDER / name
    if path.suffix not in TYPES or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(text=path.read_text(encoding="utf-8"), content_type=TYPES[path.suffix], charset="utf-8")


ROUTES: Final = [
    web.get("/", index),
    web.get("/favicon.ico", no_icon),
    web.get(r"/page/{name:[a-z_]+\.[a-z]+}", file),
]
