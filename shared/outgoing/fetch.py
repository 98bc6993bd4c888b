"""The Fetch port: the one way out to an address that the operator, or worse an event, names.

The name is looked up once, every address found is checked, and one of those is connected to: a name that answers
otherwise a moment later leads nowhere. TLS proves the name all the same.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from shared.errors import Permanent, Temporary, Unanswered
from shared.http_connection import Connection
from shared.outgoing.addresses import address_of, blocked_kind
from shared.outgoing.headers import verify_headers
from shared.outgoing.url import Target, read_target
from shared.ports import Fetched, Outgoing

CONNECT_SECONDS: Final = 5.0
MAX_ADDRESSES: Final = 4  # tried one after the other
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as text. Raises OSError where there is none."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedFetch:
    """`context` verifies servers; the system's certificate authorities where none is given."""

    def __init__(self, resolve: Resolver = system_resolver, context: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve
        self._context = context

    async def fetch(self, request: Outgoing) -> Fetched:
        target = checked(request)
        is_sent = False
        try:
            async with asyncio.timeout(request.timeout_seconds):
                addresses = await self._addresses(target, request.allow_private)
                connection = await self._connect(target, addresses, request.max_bytes)
                try:
                    answer = await connection.exchange(wire(request, target), has_body=request.method != "HEAD")
                except BaseException:
                    is_sent = connection.is_request_sent
                    raise
                finally:
                    connection.abort()
        except OSError as error:  # ssl's errors and a timeout are some
            kind = Unanswered if is_sent else Temporary
            raise kind("host_unreachable", f"{target.host} {_cause(error, request)}") from error
        return Fetched(answer.status, tuple(answer.headers), answer.body, answer.is_cut)

    async def _addresses(self, target: Target, allow_private: bool) -> Sequence[str]:
        """Look up the name and verify each address. Raises Permanent, and OSError where the name has none."""
        if target.address:
            return [str(target.address)]
        found = await self._resolve(target.host, target.port)
        for text in found:
            address = address_of(text)
            kind = blocked_kind(address, allow_private) if address else "in no form that is known"
            if kind:
                raise Permanent("address_blocked", f"{target.host} has an address that is {kind}; nothing was sent")
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return found[:MAX_ADDRESSES]

    async def _connect(self, target: Target, addresses: Sequence[str], max_bytes: int) -> Connection:
        """Raises OSError: the last address's."""
        failure: OSError = ConnectionError("no address")
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._connected(target, address, max_bytes)
            except OSError as error:
                failure = error
        raise failure

    async def _connected(self, target: Target, address: str, max_bytes: int) -> Connection:
        if target.secure and self._context is None:
            self._context = ssl.create_default_context()  # reads the system's authorities: some 20 ms, once
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(max_bytes, may_cut=True),
            address,
            target.port,
            ssl=self._context if target.secure else None,
            server_hostname=target.host.removesuffix(".") if target.secure else None,
        )
        return connection


def checked(request: Outgoing) -> Target:
    """Verify all that can be known before a name is looked up. Raises Permanent."""
    if request.method not in METHODS:
        raise Permanent("invalid_url", f"the method is one of {', '.join(sorted(METHODS))}, in capitals")
    verify_headers(request.headers)
    return read_target(request.url, request.allow_private)


def wire(request: Outgoing, target: Target) -> bytes:
    names = {name.lower() for name, _ in request.headers}
    headers = [("Host", target.authority), *request.headers, ("Accept-Encoding", "identity"), ("Connection", "close")]
    if "user-agent" not in names:
        headers.append(("User-Agent", "hookchain"))
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        headers.append(("Content-Length", str(len(request.body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{request.method} {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + request.body


def _cause(error: OSError, request: Outgoing) -> str:
    """Return the cause of the failure, without any text that the other side sent."""
    match error:
        case TimeoutError():
            return f"did not answer within {request.timeout_seconds:g} s"
        case ssl.SSLCertVerificationError():
            return f"has a certificate that does not prove its name: {error.verify_message}"
        case ssl.SSLError():
            return f"does not speak TLS as we do: {re.sub(r'[^A-Z0-9_]', '', error.reason or 'UNKNOWN')}"
        case socket.gaierror():
            return "has no address that DNS knows"
        case ConnectionRefusedError():
            return "refused the connection"
        case ConnectionError() if error.errno is None and error.args:
            return f"gave no whole answer: {error.args[0]}"
    return f"could not be reached: {type(error).__name__}"
