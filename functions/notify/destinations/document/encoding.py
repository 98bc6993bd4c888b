"""Values in Markdown: written so that no Markdown is read in them, and read back once the Markdown is.

A value stands as hexadecimal digits between two characters of the private use area, which Google's documents do not
hold. So a value is text wherever the template puts it, in code and in tables too, whatever it contains.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

_BEGIN: Final = "\ue000"
_END: Final = "\ue001"
_VALUE: Final = re.compile(f"{_BEGIN}([0-9a-f]*){_END}")
_QUOTED: Final = re.compile(f"{quote(_BEGIN)}|{quote(_END)}")
_STRIPPED: Final = re.compile("[\x00-\x08\x0c-\x1f\ud800-\udfff\ue000-\uf8ff]")
"""Characters that Google leaves out of a text, and halves of surrogate pairs. With them, each index would be wrong.

https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/request#inserttextrequest
"""
_BREAKS: Final = re.compile("\r\n|[\r\n\u0085\u2028\u2029]")
LINE_BREAK: Final = "\v"
"""A line break within a paragraph."""
_LINK: Final = re.compile(r"(https?://|mailto:)[\x21-\x7e\xa1-\U0010ffff]+", re.IGNORECASE)


def encoded(value: str) -> str:
    """Return the value as it stands in a text of Markdown."""
    return f"{_BEGIN}{value.encode('utf-8', 'replace').hex()}{_END}"


def decoded(text: str) -> str:
    """Return the text with its values, without characters that Google strips. Line breaks begin no paragraph."""
    return stripped(_BREAKS.sub(LINE_BREAK, _with_values(text, lambda value: value)))


def link_of(address: str) -> str | None:
    """Return the address of a link, which may be a value or have values; None if it is no web or mail address.

    A value that is part of the address is quoted.
    """
    address = _QUOTED.sub(lambda found: unquote(found[0]), address)  # the parser quotes what is not ASCII
    is_value = _VALUE.fullmatch(address) is not None
    found = _with_values(address, lambda value: value.strip() if is_value else quote(value, safe=""))
    return found if _LINK.fullmatch(found) else None


def stripped(text: str) -> str:
    return _STRIPPED.sub("", text)


def _with_values(text: str, written: Callable[[str], str]) -> str:
    return _VALUE.sub(lambda found: written(bytes.fromhex(found[1]).decode()), text)
