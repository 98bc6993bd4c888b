"""The body in which Pub/Sub pushes a message, directly or through Eventarc.

It is parsed here, because functions-framework's own conversion for asynchronous functions rejects it with a 400.
https://cloud.google.com/pubsub/docs/push#receive_push
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from shared.errors import Permanent, Rejected
from shared.http import Request
from shared.jsontext import Json, decode_base64, from_json

MAX_PUSH_BYTES: Final = 16 * 1024 * 1024
"""Pub/Sub's largest message is 10 MB, which base64 makes 13.4 MB."""

VerifyPush = Callable[[Request], Awaitable[None]]
"""Takes a request's head. Raises Rejected (`push_identity_mismatch`) and Temporary."""


@dataclass(slots=True)
class Push:
    """The message of a push. The subscription and the number of attempts in the body are not read.

    sent  the time at which the bus got the message, as the bus writes it: in RFC 3339, or in milliseconds; empty if the
          bus does not state it
    """

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    sent: str = field(default="", compare=False)
    _document: Json = field(default=None, init=False, repr=False, compare=False)

    def document(self) -> Json:
        """Return the message's JSON, which is decoded once.

        Raises Permanent (`malformed_event`) if it is not JSON in UTF-8.
        """
        if self._document is None:
            try:
                self._document = from_json(self.data)
            except (ValueError, RecursionError) as error:
                raise Permanent("malformed_event", "the bus message is not JSON") from error
        return self._document

    def number(self, name: str) -> int | None:
        """Return the whole number in an attribute of the message; None if there is none."""
        text = self.attributes.get(name)
        if text is None:
            return None
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def refuse_pages(head: Request) -> None:
    """Raise Rejected (`origin_not_allowed`) for a request of a browser's page.

    Such a page could post to a function on the same machine. A browser adds the header `Origin`, which a page cannot
    leave out.
    """
    if head.header("origin") is not None:
        raise Rejected("origin_not_allowed", "this function is for programs: a browser's page has no business here")


def parse_push(body: bytes) -> Push:
    """Return the message in a pushed body. Raises Permanent (`malformed_push`)."""
    try:
        document: Json = orjson.loads(body)  # only texts are read from it, and no number, which orjson may round
    except ValueError as error:
        raise Permanent("malformed_push", "the pushed body is not JSON") from error
    message = document.get("message") if isinstance(document, dict) else None
    if not isinstance(message, dict):
        raise Permanent("malformed_push", "the pushed body has no 'message' object")
    encoded = message.get("data", "")
    try:
        if not isinstance(encoded, str):
            raise ValueError
        data = decode_base64(encoded)
    except ValueError as error:
        raise Permanent("malformed_push", "the message's 'data' is not base64 text") from error
    attributes = message.get("attributes")
    pairs = attributes.items() if isinstance(attributes, dict) else ()
    texts = {name: text for name, text in pairs if isinstance(text, str)}
    message_id = message.get("messageId", message.get("message_id"))
    sent = message.get("publishTime")
    return Push(data, texts, message_id if isinstance(message_id, str) else "", sent if isinstance(sent, str) else "")
