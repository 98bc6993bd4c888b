"""The forms in which senders write the same JSON, for a signature that is over the bytes of one of them.

They differ in which characters are escaped: `<`, `>` and `&` for HTML, slashes as PHP writes them, and all that are not
ASCII; and in whether the digits of escapes are in upper case.
"""

import re
from collections.abc import Iterator
from typing import Final

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-f]{4})|.)")
"""A JSON escape. The group is the number of a character in lower case, if the escape has one."""
_ESCAPED_FOR_HTML: Final = re.compile("[<>&\u2028\u2029]")


def json_forms(text: str) -> Iterator[str]:
    """Yield the forms of this JSON, each once. `text` must have no white space between its values.

    There are twelve at most. The first form is GitHub's, with escapes in upper case, as @octokit/webhooks 9.26 verifies
    a parsed payload.

    >>> for form in json_forms('["é"]'):
    ...     print(form)
    ["é"]
    ["\\u00E9"]
    ["\\u00e9"]
    """
    yielded: set[str] = set()
    for_html = _ESCAPED_FOR_HTML.sub(_escape, text)
    with_escaped_slashes = text.replace("/", "\\/")
    for form in (text, for_html, with_escaped_slashes):
        in_ascii = _NOT_ASCII.sub(_escape, form)
        for escaped in (form, in_ascii):
            in_upper_case = _ESCAPE.sub(_in_upper_case, escaped)
            for body in (in_upper_case, escaped):
                if body not in yielded:
                    yielded.add(body)
                    yield body


def _in_upper_case(escape: re.Match[str]) -> str:
    return f"\\u{escape[1].upper()}" if escape[1] else escape[0]


def _escape(character: re.Match[str]) -> str:
    """Return the character as JSON escapes of its UTF-16 code units."""
    units = character[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
