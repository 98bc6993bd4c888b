"""The URL of a request, as its sender wrote it when it signed: there may be several spellings to try."""

import re
from typing import Final
from urllib.parse import urlsplit

from shared.http import Request

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# Two readings of HubSpot's documentation; both are tried, beside the URL as it is.
_ESCAPES: Final = (
    "%3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B",
    "%3A %2F %40 %26 %3D %2B %24 %60 %22 %2C %3B %3E %3C %3F",
)


def https_url(request: Request) -> str:
    """What the request itself says, over https; where a `public_url` is configured, that counts instead."""
    query = f"?{request.query}" if request.query else ""
    return f"https://{request.header('host') or ''}{request.path}{query}"


def spellings(url: str, which: str) -> tuple[str, ...]:
    """`which`: exact, ports or unescaped."""
    if which == "ports":
        return tuple(dict.fromkeys((url, _with_other_port(url))))
    if which == "unescaped":
        return tuple(dict.fromkeys((url, *(_unescaped(url, escapes) for escapes in _ESCAPES))))
    return (url,)


def _with_other_port(url: str) -> str:
    """Without its port if it has one, else with the scheme's own."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = parts.netloc.rpartition("@")[2]
    user = parts.netloc[: len(parts.netloc) - len(host)]
    if port is not None:
        return url.replace(parts.netloc, user + host[: host.rindex(":")], 1)
    if parts.scheme not in _DEFAULT_PORT:
        return url
    return url.replace(parts.netloc, f"{user}{host}:{_DEFAULT_PORT[parts.scheme]}", 1)


def _unescaped(url: str, escapes: str) -> str:
    wanted = frozenset(escapes.split())
    return re.sub(r"%[0-9A-Fa-f]{2}", lambda found: _decoded(found[0]) if found[0].upper() in wanted else found[0], url)


def _decoded(escape: str) -> str:
    return chr(int(escape[1:], 16))
