"""The requests of recovered events, which notify's sweep or `hookchain recover` read from the provider's API.

There are two ways to authenticate such an event. The provider's entry in functions/notify/recovery/ says which is used:

    signature  The message has the headers of the original request. The body is written in several forms until the
               signature verifies one of them. So the event has the bytes of the original.
    listed     The message has the event as the provider's API lists it, over TLS, to the holder of a token. The body
               has the id of the original, but other parts may differ.
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
"""A JSON escape. The group is the number of a character in lower case, if the escape has one."""
_ESCAPED_FOR_HTML: Final = re.compile("[<>&\u2028\u2029]")


def request_with_body(recovered: RecoveredRequest, source: Source, text: str) -> http.Request:
    """Return the recovered request with this text as its body. Raises Rejected."""
    body = text.encode("utf-8", "surrogatepass")
    if len(body) > source.max_body_bytes:
        raise http.body_too_large(source.max_body_bytes)
    return http.Request("POST", f"/{source.name}", "", recovered.headers, body)


def possible_bodies(text: str) -> Iterator[str]:
    """Yield the forms in which senders write this JSON, which has no white space between its values.

    The first form is GitHub's, with escapes in upper case, as @octokit/webhooks 9.26 verifies a parsed payload.

    >>> [*possible_bodies('["é"]')]
    ['["é"]', '["\\\\u00E9"]', '["\\\\u00e9"]']
    """
    yielded: set[str] = set()
    html_safe = _ESCAPED_FOR_HTML.sub(_escape, text)
    with_escaped_slashes = text.replace("/", "\\/")
    for form in (text, html_safe, with_escaped_slashes):
        for variant in (form, _NOT_ASCII.sub(_escape, form)):
            for body in (_ESCAPE.sub(_in_upper_case, variant), variant):
                if body not in yielded:
                    yielded.add(body)
                    yield body


def _in_upper_case(escape: re.Match[str]) -> str:
    return f"\\u{escape[1].upper()}" if escape[1] else escape[0]


def _escape(character: re.Match[str]) -> str:
    """Return the character as JSON escapes of its UTF-16 code units."""
    units = character[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def verify_identified(events: Iterable[Event]) -> None:
    """Raise Rejected for an event without an id, because it could not be recognized as the original."""
    if any(event.deliveryid is None for event in events):
        raise errors.Rejected("invalid_delivery_id", "the event that the provider's API lists has no id")
