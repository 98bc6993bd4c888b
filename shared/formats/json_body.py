"""JSON (RFC 8259), by the standard library's scanner in C, within limits that the scanner does not have.

Python's scanner recurses once a level and builds whatever the text holds. A count of brackets and commas admits nearly
every body; any other is counted again without its strings. Both are a few passes in C.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Final

from shared.errors import Rejected
from shared.formats.media_type import MediaType
from shared.formats.values import finite
from shared.jsontext import Json, JsonObject, to_json
from shared.limits import Limits

_UTF_8: Final = frozenset({None, "utf-8", "utf8"})
_MARK: Final = b"\xef\xbb\xbf"
# A line that holds more than spaces and RFC 7464's record separator.
_LINE: Final = re.compile(rb"^[ \t\r\x1e]*+([^\n]++)", re.MULTILINE)


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse UTF-8, as the RFC has it, unless the sender names another charset. A byte order mark is skipped."""
    text = (body if media.charset in _UTF_8 else _recoded(body, media)).removeprefix(_MARK)
    verify_shape(text, limits)
    return _load(text, limits)


def parse_lines(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse newline-delimited JSON, and RFC 7464's sequences: a list of the values, one for each line."""
    text = (body if media.charset in _UTF_8 else _recoded(body, media)).removeprefix(_MARK)
    count = sum(1 for _ in _LINE.finditer(text))
    verify_shape(text, limits, texts=1 + count, inside=1)
    values: list[Json] = []
    for number, line in enumerate(_LINE.finditer(text), start=1):
        try:
            values.append(_load(line[1], limits))
        except Rejected as error:
            raise Rejected(error.code, f"JSON text {number} of {count}: {error.detail}") from None
    return values


def _recoded(body: bytes, media: MediaType) -> bytes:
    from shared.formats.charset import decode_text  # few senders need it

    return decode_text(body, media.charset).encode()


def _load(text: bytes, limits: Limits) -> Json:
    """Build the value of a text whose shape was verified. A lone surrogate becomes U+FFFD, as no UTF-8 can hold it.

    Raises Rejected, with no cause: it would carry the body into a traceback.
    """
    longest_key = limits.max_key_characters if len(text) > limits.max_key_characters else None
    longest_integer = limits.max_number_digits if len(text) > limits.max_number_digits else None
    try:
        value: Json = _decoder(limits.max_keys, longest_key, longest_integer).decode(text.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise Rejected("malformed_body", f"not JSON: line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise Rejected("malformed_body", f"not JSON: byte {error.start} is not UTF-8") from None
    except ValueError:  # from int(), which has a limit of its own
        raise Rejected("number_out_of_range", "an integer has too many digits") from None
    if b"\\ud" in text or b"\\uD" in text:
        fixed = _without_lone_surrogates(to_json(value))
        if fixed is not None:
            del value  # both would be a lot of memory
            return _load(fixed, limits)  # which finds the keys that are equal now
    return value


def _without_lone_surrogates(text: str) -> bytes | None:
    """Return None where there are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    return None


@lru_cache(maxsize=8)
def _decoder(max_keys: int, longest_key: int | None, longest_integer: int | None) -> json.JSONDecoder:
    """Return a decoder; with None, for a text too short to hold a key or an integer that is too long."""
    return json.JSONDecoder(
        object_pairs_hook=_object_maker(max_keys, longest_key),
        parse_int=None if longest_integer is None else _integer_maker(longest_integer),
        parse_float=finite,
        parse_constant=_no_constant,
    )


def _object_maker(max_keys: int, longest_key: int | None) -> Callable[[list[tuple[str, Json]]], JsonObject]:
    def make(pairs: list[tuple[str, Json]]) -> JsonObject:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise Rejected("duplicate_key", "an object has the same key twice")
        if len(made) > max_keys:
            raise Rejected("too_many_values", f"an object has more than {max_keys} keys")
        if longest_key is not None and max(map(len, made), default=0) > longest_key:
            raise Rejected("too_many_values", f"a key is longer than {longest_key} characters")
        return made

    return make


def _integer_maker(longest: int) -> Callable[[str], int]:
    def make(digits: str) -> int:
        if len(digits.removeprefix("-")) > longest:
            raise Rejected("number_out_of_range", f"an integer has more than {longest} digits")
        return int(digits)

    return make


def _no_constant(_: str) -> Json:
    raise Rejected("malformed_body", "not JSON: it has no NaN and no Infinity")


_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
# Every byte but brackets goes; an opening one becomes 1, a closing one -1 as a signed byte.
_STEPS: Final = bytes.maketrans(_OPENING + _CLOSING, b"\x01\x01\xff\xff")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_SPACE: Final = b" \t\r\n"


def verify_shape(body: bytes, limits: Limits, *, texts: int = 1, inside: int = 0) -> None:
    """`body` is UTF-8; `texts`: how many JSON texts it holds; `inside`: how many levels they will be put into.

    Raises Rejected. Up to the first fault in the JSON the answer is exact, and the scanner goes no
    further than that.
    """
    openings = body.count(b"[") + body.count(b"{")
    if openings > limits.max_depth - inside or texts + openings + body.count(b",") > limits.max_nodes:
        bare = _without_strings(body, limits)
        _verify_depth(bare, limits, inside)
        _verify_nodes(bare, limits, texts)


def _without_strings(body: bytes, limits: Limits) -> bytes:
    """Replace each string by one quotation mark. Outside strings JSON has no backslash: each escape is inside one."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if unescaped.count(b'"') > 4 * limits.max_nodes:  # two marks a string, at most two strings (a key, a value) a node
        raise _too_many(limits)
    return b'"'.join(unescaped.split(b'"')[::2])


def _verify_nodes(bare: bytes, limits: Limits, texts: int) -> None:
    """Count the values: each is a text's own, the first in its list or object, or follows a comma."""
    bare = bare.translate(None, _SPACE)
    filled = bare.count(b"[") + bare.count(b"{") - bare.count(b"[]") - bare.count(b"{}")
    if texts + filled + bare.count(b",") > limits.max_nodes:
        raise _too_many(limits)


def _verify_depth(bare: bytes, limits: Limits, inside: int) -> None:
    steps = memoryview(bare.translate(_STEPS, _NOT_BRACKETS)).cast("b")
    if inside + max(accumulate(steps), default=0) > limits.max_depth:
        raise Rejected("nested_too_deeply", f"the JSON is nested deeper than {limits.max_depth} levels")


def _too_many(limits: Limits) -> Rejected:
    return Rejected("too_many_values", f"the JSON holds more than {limits.max_nodes} values")
