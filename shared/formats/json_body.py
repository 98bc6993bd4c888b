"""JSON (RFC 8259) and JSON lines, parsed by orjson or by the standard library, within limits that neither has.

Both recurse once for each level, and build whatever the text holds. So the levels and the values are counted before.
First the opening brackets and the commas are counted, in all of the text: there are at most as many levels and values.
Only if these numbers are over a limit, they are counted exactly, without the strings. Both are a few passes in C.

orjson accepts a duplicate key, and rounds long integers silently. Where a text may hold either, or orjson cannot parse
it, the standard library decides. For a body of 2 KB, orjson and the search for both take 9 µs instead of 15.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

import orjson

from shared import errors
from shared.formats.parse import MediaType
from shared.json_outline import has_long_number, may_hold_string, outline
from shared.jsontext import Json, JsonObject, to_json
from shared.limits import Limits, finite

_UTF_8: Final = frozenset({None, "utf-8", "utf8"})
"""The charsets by which a sender says UTF-8. JSON without a charset is UTF-8."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LINE: Final = re.compile(rb"^[ \t\r\x1e]*+([^\n]++)", re.MULTILINE)
"""A line that holds more than spaces and RFC 7464's record separator."""
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
_SPACE: Final = b" \t\r\n"

# `translate` deletes the bytes that it is given, so these are all bytes but those that are to be counted.
_BYTES: Final = frozenset(range(256))
_ALL_BUT_OPENING_COMMAS: Final = bytes(_BYTES - set(_OPENING + b","))
_ALL_BUT_OPENING_COMMAS_QUOTES: Final = bytes(_BYTES - set(_OPENING + b',"'))
_ALL_BUT_BRACKETS: Final = bytes(_BYTES - set(_OPENING + _CLOSING))
_ALL_BUT_BRACKETS_QUOTES_BACKSLASHES: Final = bytes(_BYTES - set(_OPENING + _CLOSING + b'"\\'))
_STEPS: Final = bytes.maketrans(_OPENING + _CLOSING, b"\x01\x01\xff\xff")
"""A table by which `translate` makes an opening bracket 1 and a closing one -1, as signed bytes: the steps of depth."""


def parse(body: bytes, media: MediaType, limits: Limits, *, is_verified: bool = False) -> Json:
    """Parse UTF-8, as the RFC has it, unless the sender names another charset. A byte order mark is skipped.

    First the depth and the number of values are verified. Then orjson parses the text, if the text cannot exceed a
    limit of keys or integers. If it can, or orjson cannot be relied upon, the standard library parses it.

    `is_verified` is for a text that `parse_lines` has recoded and verified already. A lone surrogate is rejected,
    because UTF-8 cannot hold it. Raises Rejected without a cause, because the cause would carry the body into a
    traceback.
    """
    text = body
    if not is_verified:
        text = body.removeprefix(_BYTE_ORDER_MARK) if media.charset in _UTF_8 else _recoded(body, media)
    outlined = outline(text)
    # Of {"id": 7, "tags": ["a"]}, for example, the marks are {"",""["" with two opening brackets and a comma.
    marks = outlined.translate(None, _ALL_BUT_OPENING_COMMAS_QUOTES)
    quotes = marks.count(b'"')
    if not is_verified:
        # Each value but the first follows an opening bracket or a comma. Strings may hold more of both, so these are
        # upper bounds.
        opening_and_commas = len(marks) - quotes
        opening = opening_and_commas - marks.count(b",")
        if opening_and_commas >= limits.max_nodes or opening > limits.max_depth:
            verify_shape(text, limits)

    in_reach = _limits_in_reach(text, outlined, limits)
    if in_reach == _NONE_IN_REACH:
        try:
            return _by_orjson(text, outlined, quotes)
        except (TypeError, ValueError):
            pass  # the standard library parses the text, or says what is wrong with it
    return _by_standard_library(text, in_reach)


class _LimitsInReach(NamedTuple):
    """The limits that a text may exceed. A limit is None if the text is too short to exceed it."""

    most_keys: int | None = None
    longest_key: int | None = None
    longest_integer: int | None = None


_NONE_IN_REACH: Final = _LimitsInReach()


def _limits_in_reach(text: bytes, outlined: bytes, limits: Limits) -> _LimitsInReach:
    longest_key = most_keys = longest_integer = None
    if len(outlined) > limits.max_key_characters and may_hold_string(outlined, limits.max_key_characters):
        longest_key = limits.max_key_characters
    may_have_many_keys = len(outlined) > limits.max_keys and outlined.count(b":") > limits.max_keys
    if may_have_many_keys or longest_key is not None:  # one hook of the decoder verifies both
        most_keys = limits.max_keys
    # int() itself rejects integers that are longer than this number of digits; 0 means that it accepts all.
    digits_of_int = sys.get_int_max_str_digits() or math.inf
    if min(digits_of_int, len(text)) > limits.max_number_digits:
        longest_integer = limits.max_number_digits
    return _LimitsInReach(most_keys, longest_key, longest_integer)


def _by_orjson(text: bytes, outlined: bytes, quotes: int) -> Json:
    """Parse with orjson. Raises ValueError or TypeError if the standard library might not read the same value.

    The value is written again as JSON. If that is the text, as with many senders, the text had no duplicate key and no
    number that was rounded. Otherwise a long number may have been rounded, and there was a duplicate key if the text
    has more strings than the written value. This is verified in the text's outline, which has the same keys and
    numbers, and `quotes` quotation marks.
    """
    value: Json = orjson.loads(text)
    outlined_value = value if outlined is text else orjson.loads(outlined)
    written = orjson.dumps(outlined_value)
    if written == outlined:
        return value
    if has_long_number(outlined):
        raise ValueError
    string_marks = quotes - _escaped_quotes(outlined)
    written_string_marks = written.count(b'"') - _escaped_quotes(written)
    if string_marks != written_string_marks:
        raise ValueError
    return value


def _escaped_quotes(text: bytes) -> int:
    """Count the quotation marks that neither begin nor end a string."""
    return text.replace(b"\\\\", b"").count(b'\\"') if b"\\" in text else 0


def _by_standard_library(text: bytes, in_reach: _LimitsInReach) -> Json:
    """Parse with the standard library, and verify these limits. Raises Rejected."""
    try:
        value: Json = _decoder(in_reach).decode(text.decode("utf-8"))
    except json.JSONDecodeError as error:  # its message quotes nothing of the text
        fault = error if text.strip() else "the body is empty"
        raise errors.Rejected("malformed_body", f"not JSON: {fault}") from None
    except UnicodeDecodeError as error:
        raise errors.Rejected("malformed_body", f"not JSON: byte {error.start} is not UTF-8") from None
    except ValueError:  # from int(), by its own limit
        raise errors.Rejected("number_out_of_range", "an integer has too many digits") from None
    if b"\\" in text and (b"\\ud" in text or b"\\uD" in text):
        _verify_whole_pairs(value)
    return value


def parse_lines(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Return a list with the value of each line of newline-delimited JSON, or of RFC 7464's sequences."""
    text = body.removeprefix(_BYTE_ORDER_MARK) if media.charset in _UTF_8 else _recoded(body, media)
    count = sum(1 for _ in _LINE.finditer(text))
    verify_shape(text, limits, texts=1 + count, outer_levels=1)
    values: list[Json] = []
    for number, line in enumerate(_LINE.finditer(text), start=1):
        try:
            values.append(parse(line[1], media, limits, is_verified=True))
        except errors.Rejected as error:
            raise errors.Rejected(error.code, f"JSON text {number} of {count}: {error.detail}") from None
    return values


def quotable_json(body: bytes, media: MediaType) -> bytes | None:
    """Return a body that `parse` has accepted, if it can stand in a document of ours as it is; otherwise None."""
    return None if media.charset not in _UTF_8 or body.startswith(_BYTE_ORDER_MARK) else body


def _recoded(body: bytes, media: MediaType) -> bytes:
    # Imported here, because few senders need it.
    from shared.formats.text_body import decode_text

    return decode_text(body, media.charset).encode()


def _verify_whole_pairs(value: Json) -> None:
    """Raise Rejected for half of a surrogate pair. It is no character, so it could not be passed on as it came."""
    try:
        to_json(value).encode()
    except UnicodeEncodeError:
        rule = "a `\\uD800` to `\\uDFFF` must be half of a pair; one has no other half"
        raise errors.Rejected("malformed_body", f"not JSON that UTF-8 can hold: {rule}") from None


@lru_cache(maxsize=8)
def _decoder(in_reach: _LimitsInReach) -> json.JSONDecoder:
    """Return a decoder of the standard library that verifies these limits."""
    most_keys, longest_key, longest_integer = in_reach
    has_key_limits = most_keys is not None or longest_key is not None
    return json.JSONDecoder(
        object_pairs_hook=_object_maker(most_keys, longest_key) if has_key_limits else _object_of,
        parse_int=None if longest_integer is None else _integer_maker(longest_integer),
        parse_float=finite,
        parse_constant=_no_constant,
    )


def _object_of(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Return the object of these pairs. Raises Rejected (`duplicate_key`)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise errors.Rejected("duplicate_key", "an object has the same key twice")
    return members


def _object_maker(most_keys: int | None, longest_key: int | None) -> Callable[[list[tuple[str, Json]]], JsonObject]:
    """Return a function that makes an object of pairs, and raises Rejected for a duplicate key or an exceeded limit."""

    def make(pairs: list[tuple[str, Json]]) -> JsonObject:
        members = _object_of(pairs)
        if most_keys is not None and len(members) > most_keys:
            raise errors.Rejected("too_many_values", f"an object has more than {most_keys} keys")
        # All keys together are rarely longer than one may be, and their length is faster to compute.
        if longest_key is not None and len("".join(members)) > longest_key and max(map(len, members)) > longest_key:
            raise errors.Rejected("too_many_values", f"a key is longer than {longest_key} characters")
        return members

    return make


def _integer_maker(longest: int) -> Callable[[str], int]:
    """Return a function that makes an integer of digits, and raises Rejected if there are too many."""

    def make(digits: str) -> int:
        if len(digits.removeprefix("-")) > longest:
            raise errors.Rejected("number_out_of_range", f"an integer has more than {longest} digits")
        return int(digits)

    return make


def _no_constant(_: str) -> Json:
    raise errors.Rejected("malformed_body", "not JSON: it has no NaN and no Infinity")


def verify_shape(body: bytes, limits: Limits, *, texts: int = 1, outer_levels: int = 0) -> None:
    """Verify how deep the values of a UTF-8 body are nested, and how many there are. Raises Rejected.

    `texts` is the number of JSON texts in the body, `outer_levels` the number of levels that they will be put into. The
    counts are exact up to the first fault in the JSON, where the parser stops.
    """
    # Once all but brackets, quotation marks and backslashes are deleted, the two marks of a string are neighbours,
    # unless the string contains a bracket or an escape.
    marks = body.translate(None, _ALL_BUT_BRACKETS_QUOTES_BACKSLASHES).replace(b'""', b"")
    strings_are_plain = b'"' not in marks and b"\\" not in marks
    if strings_are_plain and texts + len(body.translate(None, _ALL_BUT_OPENING_COMMAS)) <= limits.max_nodes:
        _verify_depth(marks, limits, outer_levels)
        return
    bare = _without_strings(body, limits)
    _verify_depth(bare, limits, outer_levels)
    _verify_nodes(bare, limits, texts)


def _without_strings(body: bytes, limits: Limits) -> bytes:
    """Replace each string by one quotation mark. JSON has backslashes in strings only, so each begins an escape."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    # A node has at most two strings, its key and its value, and a string has two marks.
    if unescaped.count(b'"') > 4 * limits.max_nodes:
        raise _too_many(limits)
    outside_strings = unescaped.split(b'"')[::2]
    return b'"'.join(outside_strings)


def _verify_nodes(bare: bytes, limits: Limits, texts: int) -> None:
    """Raise Rejected for too many values. A value is a whole text, the first of a list or object, or after a comma."""
    compact = bare.translate(None, _SPACE)
    opened = compact.count(b"[") + compact.count(b"{")
    empty = compact.count(b"[]") + compact.count(b"{}")
    if texts + opened - empty + compact.count(b",") > limits.max_nodes:
        raise _too_many(limits)


def _verify_depth(bare: bytes, limits: Limits, outer_levels: int) -> None:
    """Raise Rejected if the values are nested too deeply. `bare` must have no bracket in a string."""
    steps = memoryview(bare.translate(_STEPS, _ALL_BUT_BRACKETS)).cast("b")
    deepest = max(accumulate(steps), default=0)
    if outer_levels + deepest > limits.max_depth:
        raise errors.Rejected("nested_too_deeply", f"the JSON is nested deeper than {limits.max_depth} levels")


def _too_many(limits: Limits) -> errors.Rejected:
    return errors.Rejected("too_many_values", f"the JSON holds more than {limits.max_nodes} values")
