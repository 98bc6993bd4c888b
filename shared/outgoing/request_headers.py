"""The headers that a request to another system may have. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from shared.errors import Permanent
from shared.http import HEADER_NAME

MAX_VALUE_CHARACTERS: Final = 16_384
"""The most characters of one header's value."""
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""Latin-1 without control characters, except the tab."""
CONNECTION_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""The headers that the connection sets itself, and those that would change how the request or its answer is read."""


def verify_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Raise Permanent (`invalid_header`) for a header that cannot be sent. The message never has the header's value."""
    for name, _ in headers:
        _verify_header_name(name)
    # If all values together can be one value, each of them can: nearly every request is verified by this one match.
    all_values = "".join([value for _, value in headers])
    if _VALUE.fullmatch(all_values) and len(all_values) <= MAX_VALUE_CHARACTERS:
        return
    for name, value in headers:
        if not _VALUE.fullmatch(value):
            raise Permanent(
                "invalid_header",
                f"the header {name!r} must have no line break, no control character, and only characters of latin-1",
            )
        if len(value) > MAX_VALUE_CHARACTERS:
            raise Permanent("invalid_header", f"the header {name!r} has more than {MAX_VALUE_CHARACTERS} characters")


def is_header_value(text: str) -> bool:
    """Return whether a header can have the text as its value, or as a part of it."""
    return _VALUE.fullmatch(text) is not None


@lru_cache(maxsize=256)
def _verify_header_name(name: str) -> None:
    if not re.fullmatch(HEADER_NAME, name):
        raise Permanent("invalid_header", "a header's name must have letters, digits and '-' only")
    if name.lower() in CONNECTION_HEADERS:
        raise Permanent("invalid_header", f"the header {name!r} is set by the connection: remove it")
