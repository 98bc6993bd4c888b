"""Events that a provider could not deliver, read from its API by notify's sweep or by `hookchain recover`.

A source says in which way such an event is authenticated:

    signature  The message has the headers of the original request. Its body is written again until the signature in
               them verifies it. So it has the bytes of the original, and everything that follows from them.
    listed     The message has the event as the provider's API lists it, over TLS, to the holder of a token. Its id is
               in the body, and the same as the original's; other parts may differ.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

from functions.receive.source import Source
from shared import errors, http
from shared.event import Event
from shared.recovered import RecoveredRequest

Authentication: TypeAlias = Literal["signature", "listed"]
SIGNATURE: Final[Authentication] = "signature"
NOT_WRITTEN: Final = (
    "the event that the provider's API lists cannot be written so that its recorded signature verifies it. Deliver it "
    "again in the provider's own settings"
)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-f]{4})|.)")
"""An escape of a character by its number, whose digits are the group, or any other."""
_OF_HTML: Final = re.compile("[<>&\u2028\u2029]")


def request_of(sent: RecoveredRequest, source: Source, text: str) -> http.Request:
    """Return the request with this text as its body. Raises Rejected."""
    body = text.encode("utf-8", "surrogatepass")
    if len(body) > source.max_body_bytes:
        raise http.body_too_large(source.max_body_bytes)
    return http.Request("POST", f"/{source.name}", "", sent.headers, body)


def written_bodies(text: str) -> Iterator[str]:
    """Yield the ways in which senders write the same JSON, which has no white space between its values.

    The first is GitHub's, with escapes in upper case, as @octokit/webhooks 9.26 verifies a payload that was parsed.

    >>> [*written_bodies('["é"]')]
    ['["é"]', '["\\\\u00E9"]', '["\\\\u00e9"]']
    """
    seen: set[str] = set()
    for each in (text, _OF_HTML.sub(_escape, text), text.replace("/", "\\/")):
        for written in (each, _NOT_ASCII.sub(_escape, each)):
            for body in (_ESCAPE.sub(_in_upper_case, written), written):
                if body not in seen:
                    seen.add(body)
                    yield body


def _in_upper_case(found: re.Match[str]) -> str:
    return f"\\u{found[1].upper()}" if found[1] else found[0]


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def verify_identified(events: Iterable[Event]) -> None:
    """Reject an event of the API without the id by which its original is found. Raises Rejected."""
    if any(event.deliveryid is None for event in events):
        raise errors.Rejected("invalid_delivery_id", "the event that the provider's API lists has no id")
