"""The headers that a request may carry."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from shared.errors import Permanent

MAX_VALUE_CHARACTERS: Final = 16_384
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# What the connection itself says, and what would change how the request or its answer is read.
OWN: Final = frozenset(
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


def verify_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Raises Permanent (`invalid_header`), which names the header and never its value."""
    are_fit = _VALUE.fullmatch("".join([value for _, value in headers]))  # where not, the loop finds which is not
    for name, value in headers:
        _verify_name(name)
        if not (are_fit or _VALUE.fullmatch(value)):
            raise Permanent(
                "invalid_header", f"the header {name!r} has a line break, a control character or none of latin-1"
            )
        if len(value) > MAX_VALUE_CHARACTERS:
            raise Permanent("invalid_header", f"the header {name!r} has more than {MAX_VALUE_CHARACTERS} characters")


def is_header_value(text: str) -> bool:
    """Return whether a header can have the text as its value, or as a part of it."""
    return _VALUE.fullmatch(text) is not None


@lru_cache(maxsize=256)
def _verify_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Permanent("invalid_header", "a header's name has letters, digits and '-' only")
    if name.lower() in OWN:
        raise Permanent("invalid_header", f"the header {name!r} is not yours to set: the connection does")
