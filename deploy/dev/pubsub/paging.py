"""Lists in pages. A page's token is the name after which the next one begins."""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from deploy.dev.pubsub.errors import invalid

DEFAULT_PAGE: Final = 100
MOST_PAGE: Final = 1000


def page_of(names: Iterable[str], page_size: str, page_token: str) -> tuple[list[str], str]:
    """The page's names, and the next page's token: empty after the last one."""
    size = _size(page_size)
    after = _name_in(page_token)
    rest = [name for name in sorted(names) if name > after]
    if len(rest) <= size:
        return rest, ""
    return rest[:size], base64.urlsafe_b64encode(rest[size - 1].encode()).decode()


def _size(text: str) -> int:
    if text and not (text.isdecimal() and len(text) < 10):
        raise invalid("Invalid value at 'page_size': a whole number is expected.")
    return min(int(text or 0) or DEFAULT_PAGE, MOST_PAGE)


def _name_in(token: str) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid("Invalid value at 'page_token': it is not one that a list answered.") from error
