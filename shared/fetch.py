"""The port of requests to other systems. See shared/ports.py."""

from typing import NamedTuple, Protocol


class Fetched(NamedTuple):
    """Another system's answer. Header names are in lower case; a body longer than asked for is cut, and says so."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_cut: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


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
        ...
