"""The port of requests to other systems: a request, its answer, and what an answer says about the next request.

`Fetch` is a port as those in shared/ports.py. The adapter is shared/outgoing/guarded_fetch.py.
"""

from datetime import UTC
from typing import Final, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from shared.errors import Permanent

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The statuses whose `Location` is another address for the request. A 304 names none, for example."""
_MAX_ORIGIN: Final = 100
"""The most characters of a redirect's origin that are described. Another system chose them."""


class Tls(NamedTuple):
    """Certificates of a request's own, as PEM.

    certificate, key  the client's, with the certificates between it and its authority
    authorities       that may issue the server's certificate, in place of the system's
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""


class Outgoing(NamedTuple):
    """A request to another system.

    headers          pairs of a name and a value; the connection adds its own, such as `host`
    timeout_seconds  the time for the whole request, until its answer has arrived
    max_bytes        the longest body of the answer: the rest is cut
    allow_private    its address may be one that is not public, and its URL may have plain http
    allow_http       its URL may have plain http, even if its address must be public
    may_repeat       it may be sent twice: where a kept connection ends without an answer, it is sent on a new one
    tls              its own certificates; None for no certificate of the client, and the system's authorities
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timeout_seconds: float = 10.0
    max_bytes: int = 1_048_576
    allow_private: bool = False
    allow_http: bool = False
    may_repeat: bool = False
    tls: Tls | None = None


class Fetched(NamedTuple):
    """Another system's answer. Header names are in lower case.

    is_cut  the body was longer than `max_bytes`, and only its beginning is here
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_cut: bool = False

    def header(self, name: str) -> str | None:
        """Return the value of the first header with this name, which is in lower case; None if there is none."""
        return next((value for key, value in self.headers if key == name), None)


class Fetch(Protocol):
    async def fetch(self, request: Outgoing) -> Fetched:
        """Send one request and return the answer, whatever its status. Follow no redirect.

        It connects to the address that it checked. Raises Permanent before anything is sent: NameBlocked for the
        address of a host's name, and otherwise for the method, the URL, an address in it, or a header. Raises Temporary
        if the answer, or its first `max_bytes`, does not arrive in time.
        """


class NameBlocked(Permanent):
    """`address_blocked`, because the host's name has an address to which nothing is sent.

    A delivery is tried again after it, and after no other Permanent: a filter of DNS, a login page for a network or a
    network's own DNS answer so for a time. An address in the URL itself does not change.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("address_blocked", detail)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Return the wait that a `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3); None for any other."""
    text = (value or "").strip()
    if _is_whole_number(text):
        return float(text)
    # Imported here, because few answers have a date.
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text)
        return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def reset_seconds(value: str | None, now: float) -> float | None:
    """Return the seconds until the Unix time in an `X-RateLimit-Reset`; None for any other text."""
    text = (value or "").strip()
    return max(0.0, float(text) - now) if _is_whole_number(text) else None


def _is_whole_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def redirect_target(url: str, location: str | None) -> str:
    """Describe where a redirect of the URL leads; empty if that is not known, or is the URL itself.

    The path is left out, because it may hold a part of an event or a secret. From https://a.example/x:

    https://a.example/x/  the same URL with a slash at its end
    http://a.example/x    the same path at http://a.example
    https://b.example/x/  the same path with a slash at its end at https://b.example
    https://a.example/y   another path of https://a.example
    https://b.example/y   another server, https://b.example
    """
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location or ""))
        is_same_server = (here.hostname, here.port) == (there.hostname, there.port)
    except ValueError:
        return ""
    origin = f"{there.scheme}://{there.netloc.rpartition('@')[2]}"
    if not location or not origin.isascii() or not origin.isprintable() or len(origin) > _MAX_ORIGIN:
        return ""
    is_same_origin = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    if here.path == there.path:
        return "" if is_same_origin else f"the same path at {origin}"
    if here.path.rstrip("/") == there.path.rstrip("/"):
        slash = "with a slash" if there.path.endswith("/") else "without the slash"
        return f"the same URL {slash} at its end" if is_same_origin else f"the same path {slash} at its end at {origin}"
    return f"another path of {origin}" if is_same_server else f"another server, {origin}"
