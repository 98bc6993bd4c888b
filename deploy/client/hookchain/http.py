"""One HTTP request, bounded in time and in bytes read, with nothing but the standard library.

A failure before the request was sent means that it has not arrived; a later one means that it may have arrived.
"""

import io
import json
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

from .formats import Json

MAX_RESPONSE_BYTES: Final = 65_536
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
"""The characters that stay as they are in a path or a query. `%` is one, because the URL may be escaped already."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as a connection needs it; `path` includes the query."""

    is_tls: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `headers` are pairs, their names in lower case. A long `body` is cut.

    `is_whole` is False if the connection ended before the body did.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    is_whole: bool = True

    @property
    def document(self) -> dict[str, Json]:
        """The JSON object in the body; empty for any other body."""
        try:
            document: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def header(self, name: str) -> str | None:
        """Return the first value of the header, whose name is in lower case; None if there is none."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def retry_after_seconds(self) -> float | None:
        """Return the wait that the receiver asks for in `Retry-After`; None without one, and for a date."""
        text = (self.header("retry-after") or "").strip()
        return float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else None


@dataclass(frozen=True, slots=True)
class NoResponse:
    """A request without a response.

    `code` is unreachable or untrusted (nothing was sent), or timeout, cut or not_http (it may have arrived).
    """

    code: str
    reason: str = ""


def parse_url(url: str) -> Target:
    """Return where to connect. Raises ValueError, which does not repeat the URL: its query may hold a token."""
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise ValueError("URL: must not contain a space, a backslash or a control character")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("URL: must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("URL: must not contain a user or a password. Give them as authentication.")
    # The codec replaces or drops these characters, which gives the name of another host: strasse for straße.
    if any(letter in parts.hostname for letter in "ßς\u200c\u200d"):
        raise ValueError("URL: must have a host with ß, ς or a joiner in its ASCII form, xn--…")
    try:
        host = parts.hostname.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("URL: the host is not a valid name") from error
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    is_tls = parts.scheme == "https"
    return Target(is_tls, host, (443 if is_tls else 80) if parts.port is None else parts.port, path)


def make_request(
    method: str,
    target: Target,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    timeout_seconds: float,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
) -> Response | NoResponse:
    """Make one request, whose response must be complete `timeout_seconds` after the call.

    Each address of the host may take the whole time to connect, so a host with several can exceed it.
    Content-Length and Connection are added to the headers. A body of more than `max_response_bytes` is cut. Raises
    ValueError for a method or a header that HTTP does not allow.
    """
    deadline = time.monotonic() + timeout_seconds
    connection = _connection(target, timeout_seconds)
    try:
        if failure := _connect(connection):
            return failure
        return _converse(connection, method, target.path, headers, body, deadline, max_response_bytes)
    finally:
        connection.close()


def _connection(target: Target, timeout_seconds: float) -> HTTPConnection:
    if target.is_tls:
        context = ssl.create_default_context()
        return HTTPSConnection(target.host, target.port, timeout=timeout_seconds, context=context)
    return HTTPConnection(target.host, target.port, timeout=timeout_seconds)


def _connect(connection: HTTPConnection) -> NoResponse | None:
    """Connect, and verify the certificate. Return why that failed; None if it did not."""
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        return NoResponse("untrusted", error.verify_message)
    except socket.gaierror:
        return NoResponse("unreachable", f"{connection.host} has no address")
    except TimeoutError:
        return NoResponse("unreachable", f"{connection.host}:{connection.port} does not answer")
    except OSError as error:
        return NoResponse("unreachable", f"{connection.host}:{connection.port}: {error.strerror or error}")
    return None


def _converse(
    connection: HTTPConnection,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    deadline: float,
    max_bytes: int,
) -> Response | NoResponse:
    """Send the request over the connection, and read the response until `deadline`, by `time.monotonic`."""
    try:
        connection.sock.settimeout(_seconds_until(deadline))
        _write(connection, method, path, headers, body)
        # HTTPResponse reads from `fp`. Its own `fp` would start the timeout again with each read, so a receiver that
        # sends a byte now and then could keep the request open forever.
        response = HTTPResponse(connection.sock, method=method)
        response.fp.close()
        response.fp = io.BufferedReader(_UntilDeadline(connection.sock, deadline))
        with response:
            response.begin()
            while response.status < 200:  # such as 103, which a proxy sends before the response
                response.headers = None  # type: ignore[assignment] # without headers, `begin` reads the next head
                response.begin()
            response_headers = tuple((name.lower(), value) for name, value in response.getheaders())
            content, is_whole = _read_body(response, max_bytes)
            return Response(response.status, content, response_headers, is_whole)
    except TimeoutError:
        return NoResponse("timeout")
    except OSError:  # also if the connection ends before a response
        return NoResponse("cut")
    except HTTPException:
        return NoResponse("not_http")


def _write(connection: HTTPConnection, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (*headers, ("Content-Length", str(len(body))), ("Connection", "close")):
        connection.putheader(name, value)
    # The receiver may reject the request before it has read all of it; its response can then still be read.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders(body)


def _read_body(response: HTTPResponse, max_bytes: int) -> tuple[bytes, bool]:
    """Return the body, cut after `max_bytes`, and whether the connection lasted until its end."""
    try:
        content = response.read(max_bytes)
    except (OSError, HTTPException, ValueError):  # ValueError: the length of a chunk is negative
        return b"", False
    # `length` is the number of bytes of the Content-Length that have not arrived.
    return content, len(content) == max_bytes or not response.length


class _UntilDeadline(io.RawIOBase):
    """A stream whose reads all end at one deadline, however slowly the bytes arrive."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # collections.abc.Buffer needs 3.12
        self._socket.settimeout(_seconds_until(self._deadline))
        return self._socket.recv_into(buffer)


def _seconds_until(deadline: float) -> float:
    """Return a time that a socket accepts: 0 would mean that it does not wait, and a negative one is an error."""
    return max(deadline - time.monotonic(), 0.001)
