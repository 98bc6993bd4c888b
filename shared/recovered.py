"""The message of an event that its provider could not deliver: a request, as it was or would have been sent.

A JSON object `{"source": …, "headers": [[name, value], …], "body": …}`, compressed by zlib, because a bus takes less
than a source does. receive takes it from the topic RECOVERED.
"""

import json
import zlib
from typing import Final, NamedTuple

from shared import errors, ports
from shared.jsontext import Json, list_at

MAX_MESSAGE_BYTES: Final = 700 * 1024
"""SQS takes 1 MiB, in base64."""
MAX_DECODED_BYTES: Final = 40 * 1024 * 1024
"""The largest body that a source takes, 10 MiB, is longer in JSON."""


class RecoveredRequest(NamedTuple):
    """A request of the source's sender. The names of headers are in lower case."""

    source: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def message(self) -> ports.BusMessage | None:
        """Return the message; None if it is too large for a bus."""
        headers: list[Json] = [[name, value] for name, value in self.headers]
        document: Json = {"source": self.source, "headers": headers, "body": self.body}
        data = zlib.compress(json.dumps(document).encode())  # in ASCII: the body may have half a surrogate pair
        return ports.BusMessage(data, {"source": self.source}) if len(data) <= MAX_MESSAGE_BYTES else None


def read_recovered(data: bytes) -> RecoveredRequest:
    """Return the request of a message. Raises Rejected (`malformed_body`)."""
    try:
        document: Json = json.loads(_decompressed(data))
    except (ValueError, RecursionError, zlib.error) as error:
        raise errors.Rejected("malformed_body", "the message is no recovered event") from error
    if not isinstance(document, dict) or not isinstance(body := document.get("body"), str):
        raise errors.Rejected("malformed_body", "the message is no recovered event")
    pairs = [each for each in list_at(document, "headers") if isinstance(each, list) and len(each) == 2]
    headers = tuple((str(name), str(value)) for name, value in pairs)
    return RecoveredRequest(str(document.get("source")), headers, body)


def readable(data: bytes) -> bytes:
    """Return the JSON of a message, for a person; the data as it is if it is not compressed."""
    try:
        return _decompressed(data)
    except zlib.error:
        return data


def _decompressed(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MAX_DECODED_BYTES)
