"""One request over HTTP, bounded in time and in bytes read, with nothing but the standard library.

A failure says its kind: what failed before the request was sent has surely not arrived; after that, nobody knows.
"""

import io
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

MAX_ANSWER_BYTES: Final = 65_536
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Target:
    is_tls: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """`code` is unreachable or untrusted (nothing was sent), or timeout, cut or not_http (it may have arrived)."""

    code: str
    reason: str = ""


def parse_target(url: str) -> Target:
    """Raises ValueError, which does not repeat the URL: its query may hold a token."""
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise ValueError("the URL holds a space, a backslash or a control character")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL begins with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL holds a user or a password; give them as authentication instead")
    try:
        host = parts.hostname.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("the URL's host is no valid name") from error
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    is_tls = parts.scheme == "https"
    return Target(is_tls, host, (443 if is_tls else 80) if parts.port is None else parts.port, path)


def post(target: Target, headers: Sequence[tuple[str, str]], body: bytes, timeout_seconds: float) -> Answer | NoAnswer:
    return exchange("POST", target, headers, body, timeout_seconds)


def exchange(
    method: str, target: Target, headers: Sequence[tuple[str, str]], body: bytes, timeout_seconds: float
) -> Answer | NoAnswer:
    deadline = time.monotonic() + timeout_seconds
    connection = _connection(target, timeout_seconds)
    try:
        if failure := _connect(connection):
            return failure
        return _exchange(connection, method, target.path, headers, body, deadline)
    finally:
        connection.close()


def _connection(target: Target, timeout_seconds: float) -> HTTPConnection:
    if target.is_tls:
        context = ssl.create_default_context()
        return HTTPSConnection(target.host, target.port, timeout=timeout_seconds, context=context)
    return HTTPConnection(target.host, target.port, timeout=timeout_seconds)


def _connect(connection: HTTPConnection) -> NoAnswer | None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        return NoAnswer("untrusted", error.verify_message)
    except socket.gaierror:
        return NoAnswer("unreachable", f"the name {connection.host} has no address")
    except TimeoutError:
        return NoAnswer("unreachable", f"{connection.host}:{connection.port} does not answer")
    except OSError as error:
        return NoAnswer("unreachable", f"{connection.host}:{connection.port}: {error.strerror or error}")
    return None


def _exchange(
    connection: HTTPConnection, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, deadline: float
) -> Answer | NoAnswer:
    try:
        connection.sock.settimeout(_left(deadline))
        _write(connection, method, path, headers, body)
        response = HTTPResponse(connection.sock, method=method)
        response.fp.close()
        response.fp = io.BufferedReader(_UntilDeadline(connection.sock, deadline))
        with response:
            response.begin()
            return Answer(response.status, _body(response))
    except TimeoutError:
        return NoAnswer("timeout")
    except OSError:  # a connection that ends before an answer is one too
        return NoAnswer("cut")
    except HTTPException:
        return NoAnswer("not_http")


def _write(connection: HTTPConnection, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> None:
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (*headers, ("Content-Length", str(len(body))), ("Connection", "close")):
        connection.putheader(name, value)
    # It may have refused before it read all: then its answer is perhaps there to be read.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders(body)


def _body(response: HTTPResponse) -> bytes:
    """The status is the answer; an excerpt that breaks off is no reason to doubt it."""
    try:
        return response.read(MAX_ANSWER_BYTES)
    except (OSError, HTTPException):
        return b""


class _UntilDeadline(io.RawIOBase):
    """Reads of which all together end at the deadline, however slowly the bytes come."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # collections.abc.Buffer needs 3.12
        self._socket.settimeout(_left(self._deadline))
        return self._socket.recv_into(buffer)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)
