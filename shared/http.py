"""The request and the reply as values, free of any framework's types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared import errors, jsontext

Headers = tuple[tuple[str, str], ...]

HEADER_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""The pattern of a header's name (RFC 9110, 5.6.2)."""

MAX_HEADER_BYTES: Final = 1_048_576
"""The most for all header lines of a request together. No sender needs more, and no platform accepts more."""

ReadBody = Callable[[int], Awaitable[bytes]]
"""Reads a request's body of at most so many bytes. Raises Rejected: `body_too_large`, `request_timeout` or
`disconnected`."""


@dataclass(slots=True)
class Request:
    """An HTTP request. Its body is set once it is read. Everything else stays as it was received.

    `path` is as it was sent, still percent-encoded; `query` is without its question mark; header names are in lower
    case, each line a pair, in the order they came; `peer` is the address that connected.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    body: bytes = b""
    peer: str = ""
    _values: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The headers by name, filled at the first look-up."""

    def header(self, name: str) -> str | None:
        """Return all lines of that name joined with a comma, as some platforms join them already; else None."""
        if not self._values:
            self._values = dict(self.headers)
            if len(self._values) != len(self.headers):  # some name came twice
                self._values.clear()
                for key, value in self.headers:
                    self._values[key] = f"{self._values[key]},{value}" if key in self._values else value
        return self._values.get(name.lower())


class Reply(NamedTuple):
    """An HTTP response, whole."""

    status: int
    body: bytes = b""
    headers: Headers = (("content-type", "application/json"),)


def body_too_large(max_bytes: int) -> errors.Rejected:
    return errors.Rejected("body_too_large", f"the body is larger than {max_bytes} bytes")


def json_reply(value: jsontext.JsonObject) -> Reply:
    return Reply(200, jsontext.to_json(value).encode())


def problem(status: int, code: errors.ReplyCode | errors.ServerCode, title: str, *headers: tuple[str, str]) -> Reply:
    """Return an RFC 9457 problem document. `code` is stable; `title` says no more than a stranger may know."""
    body = jsontext.to_json({"type": "about:blank", "title": title, "status": status, "code": code}).encode()
    return Reply(status, body, (("content-type", "application/problem+json"), *headers))
