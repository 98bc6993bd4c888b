"""How deep and how large a JSON text is, before any of it is built.

Python's scanner recurses once a level and makes whatever it is told to. A count of brackets and commas clears nearly
every body; what it cannot clear is looked at once more without its strings. Both are a few passes in C.
"""

from itertools import accumulate
from typing import Final

from shared.errors import Rejected
from shared.limits import Limits

_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
# Every byte but brackets goes; an opening one becomes 1, a closing one -1 as a signed byte.
_STEPS: Final = bytes.maketrans(_OPENING + _CLOSING, b"\x01\x01\xff\xff")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_SPACE: Final = b" \t\r\n"


def verify_shape(body: bytes, limits: Limits, *, texts: int = 1, inside: int = 0) -> None:
    """`body` is UTF-8; `texts`: how many JSON texts it holds; `inside`: how many levels they will be put into.

    Raises Rejected (`depth`, `nodes`). Up to the first fault in the JSON the answer is exact, and the scanner goes no
    further than that.
    """
    openings = body.count(b"[") + body.count(b"{")
    if openings > limits.max_depth - inside or texts + openings + body.count(b",") > limits.max_nodes:
        bare = _without_strings(body, limits)
        _verify_depth(bare, limits, inside)
        _verify_nodes(bare, limits, texts)


def _without_strings(body: bytes, limits: Limits) -> bytes:
    """Each string as one quotation mark. Outside strings JSON has no backslash, so every escape is inside one."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if unescaped.count(b'"') > 4 * limits.max_nodes:  # two marks a string, at most two strings (a key, a value) a node
        raise _too_many(limits)
    return b'"'.join(unescaped.split(b'"')[::2])


def _verify_nodes(bare: bytes, limits: Limits, texts: int) -> None:
    """A value is a text's own, the first in its list or object, or follows a comma."""
    bare = bare.translate(None, _SPACE)
    filled = bare.count(b"[") + bare.count(b"{") - bare.count(b"[]") - bare.count(b"{}")
    if texts + filled + bare.count(b",") > limits.max_nodes:
        raise _too_many(limits)


def _verify_depth(bare: bytes, limits: Limits, inside: int) -> None:
    steps = memoryview(bare.translate(_STEPS, _NOT_BRACKETS)).cast("b")
    if inside + max(accumulate(steps), default=0) > limits.max_depth:
        raise Rejected("depth", f"the JSON is nested deeper than {limits.max_depth} levels")


def _too_many(limits: Limits) -> Rejected:
    return Rejected("nodes", f"the JSON holds more than {limits.max_nodes} values")
