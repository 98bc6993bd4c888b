"""One kept HTTP/1.1 connection to a push endpoint.

Pushes are most of what the emulation does. Measured, a request over this costs a third of one over aiohttp's client,
whose sessions, redirects, cookies and streams none of them needs.
"""

import asyncio
from typing import Final, cast

import httptools

FIRST_FINAL_STATUS: Final = 200
_LENGTH_HEADERS: Final = (b"content-length", b"transfer-encoding")


class PushConnection(asyncio.Protocol):
    """One exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._has_length = False
        self._status_until_closed: int | None = None

    @property
    def is_open(self) -> bool:
        """Ready for an exchange."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> int:
        """The answer's status. Raises ConnectionResetError where the other side closes before it has answered.

        Cancelled, it closes: the answer to come would be taken for the next one's.
        """
        if self._transport is None:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            if self._answer.cancelled():
                self.close()
            self._answer = None

    def close(self) -> None:
        if self._transport:
            self._transport.abort()
            self._transport = None

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, and no subclass

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            self._fail()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._status_until_closed is not None and exc is None:
            self._succeed(self._status_until_closed)
        self._fail()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 -- httptools' number
        if name.lower() in _LENGTH_HEADERS:
            self._has_length = True

    def on_headers_complete(self) -> None:
        if not self._has_length:  # then the body ends where the connection does
            self._status_until_closed = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        self._status_until_closed = None
        status = self._parser.get_status_code()
        # After an interim status another answer would follow; 102 is an acknowledgement all the same.
        if status < FIRST_FINAL_STATUS or not self._parser.should_keep_alive():
            self.close()
        self._succeed(status)

    def _succeed(self, status: int) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(status)

    def _fail(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the push endpoint closed without an answer"))
