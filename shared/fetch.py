"""The port of requests to other systems. See shared/ports.py."""

from datetime import UTC
from typing import Final, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from shared.errors import Permanent

_MAX_ORIGIN = 100


class NameBlocked(Permanent):
    """`address_blocked`, because the host's name has an address to which nothing is sent.

    A later lookup may give others: a filter of DNS, a login page for a network or a network's own DNS answer so for a
    time. An address in the URL itself does not change.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("address_blocked", detail)


class Fetched(NamedTuple):
    """Another system's answer. Header names are in lower case; a body longer than asked for is cut, and says so."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_cut: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


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


REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The statuses whose `Location` is another address for the request. A 304 names none, for example."""


def redirect_target(url: str, location: str | None) -> str:
    """Describe where a redirect of the URL leads, with none of its path: that may hold a part of an event or a secret.

    Empty if that is not known.
    """
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location or ""))
        origin, same_host = f"{there.scheme}://{there.netloc.rpartition('@')[2]}", here.netloc == there.netloc
    except ValueError:
        return ""
    if not location or not origin.isascii() or not origin.isprintable() or len(origin) > _MAX_ORIGIN:
        return ""
    slash = ""
    if here.path != there.path and here.path.rstrip("/") == there.path.rstrip("/"):
        slash = " with a slash at its end" if there.path.endswith("/") else " without the slash at its end"
    if here.path != there.path and not slash:
        return f"another path of {origin}" if here.hostname == there.hostname else f"another host, {origin}"
    if same_host and here.scheme == there.scheme:
        return f"the same URL{slash}" if slash else ""
    return f"the same path{slash} at {origin}"


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

    allow_private  its address may be one that is not public, and its URL may have plain http
    allow_http     its URL may have plain http
    may_repeat     it may be sent twice: where a kept connection ends without an answer, it is sent on a new one
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timeout_seconds: float = 10.0
    max_bytes: int = 1_048_576
    allow_private: bool = False
    may_repeat: bool = False
    tls: Tls | None = None
    allow_http: bool = False


class Fetch(Protocol):
    async def fetch(self, request: Outgoing) -> Fetched:
        """Send one request and return the answer, whatever its status. Follow no redirect.

        It connects to the address that it checked. Raises Permanent before anything is sent, and Temporary if the
        answer, or its first `max_bytes`, does not arrive in time.
        """
