"""The HTTP server's protocol, bounded: the server itself keeps whatever a client sends before the function sees a
byte of it, a header without an end or a million of them. Only Google's entry point installs this.
"""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # it has no types

from functions.receive.admission import MAX_HEADER_BYTES

MAX_HEAD_BYTES: Final = 2 * MAX_HEADER_BYTES
"""So that the function itself answers what is less too large."""
_FRAMING: Final = 8
"""A chunk of one byte is sent in six."""


class BoundedProtocol(HttpToolsProtocol):
    """Counts what of a request is no body: its head, what follows its chunks' sizes, and the headers after them.

    These, which the server would put among the head's, are dropped: a proxy that says in a header who sent the request
    may let them through, and they would be the last word.
    """

    _received = 0
    _body = 0
    _is_in_head = True

    def on_message_begin(self) -> None:
        self._received = self._body = 0
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._received += len(data)
        if self._received > MAX_HEAD_BYTES + _FRAMING * self._body and not self.transport.is_closing():
            self.send_400_response("Request header fields too large.")


def install() -> None:
    """Before the server is made; its worker reads this then."""
    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": BoundedProtocol}
