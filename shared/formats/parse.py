"""Parse a body of any format: JSON here; any other format's parser is imported with the first body of that format.

JSON (RFC 8259) is parsed by orjson or the standard library's scanner in C, within limits that neither has. A scanner
recurses once a level and builds whatever the text holds. A count of brackets and commas admits nearly every body; any
other is counted again without its strings. Both are a few passes in C.

orjson accepts a duplicate key and rounds long integers silently. Where a text may hold either, or is not JSON to
orjson, the standard library's scanner decides. For a body of 2 KB, orjson and what finds those take 9 µs instead of 15.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from itertools import accumulate
from typing import Final, NamedTuple

import orjson

from shared import errors
from shared.formats.media_type import MediaType, is_text, media_type, structured_format
from shared.jsontext import Json, JsonObject, has_long_number, may_hold_string, outline, to_json
from shared.limits import DEFAULT, Limits, finite

Parser = Callable[[bytes, MediaType, Limits], Json]

_ELSEWHERE: Final = {"bytes": ("text_body", "parse_bytes")}
"""The parsers that are not `parse` in `<format>_body.py`."""
_UTF_8: Final = frozenset({None, "utf-8", "utf8"})
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# A line that holds more than spaces and RFC 7464's record separator.
_LINE: Final = re.compile(rb"^[ \t\r\x1e]*+([^\n]++)", re.MULTILINE)
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
_NOT_COUNTED: Final = bytes(set(range(256)) - set(_OPENING + b","))
_NOT_MARKS: Final = bytes(set(range(256)) - set(_OPENING + b',"'))
_NOT_STRINGS_AND_BRACKETS: Final = bytes(set(range(256)) - set(_OPENING + _CLOSING + b'"\\'))
# Every byte but brackets goes; an opening one becomes 1, a closing one -1 as a signed byte.
_STEPS: Final = bytes.maketrans(_OPENING + _CLOSING, b"\x01\x01\xff\xff")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_SPACE: Final = b" \t\r\n"


class Parsed(NamedTuple):
    """`format`: json, ndjson, xml, yaml, form, multipart, plist, csv, text or bytes."""

    data: Json
    format: str


def parse_body(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body by its content type. Raises Rejected and nothing else.

    A body must parse as the named format, except that JSON may be called a form: curl's content type, whatever `-d`
    sends. What begins like JSON and has no `=` is no form. Where no format is named, a body that begins like JSON, XML
    or a property list and parses is one; any other is text, or bytes where it is no text. A limit that is passed is
    rejected either way.
    """
    media = media_type(content_type or "")
    if media.format == "form" and body.lstrip()[:1] in (b"{", b"["):
        if b"=" not in body:
            return parse_as("json", body, content_type, limits)
        return parse_if("json", body, content_type, limits) or parse_as("form", body, content_type, limits)
    if media.format:
        return parse_as(media.format, body, content_type, limits)
    format_name = structured_format(body)
    if format_name and (parsed := parse_if(format_name, body, content_type, limits)):
        return parsed
    is_any_text = media.charset or media.name.startswith("text/") or is_text(body)
    return parse_as("text" if is_any_text else "bytes", body, content_type, limits)


def parse_as(format_name: str, body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body in the format that the configuration names, whatever the content type. Raises Rejected."""
    media = media_type(content_type or "")
    try:
        if format_name == "json":
            return Parsed(parse_json(body, media, limits), format_name)
        if format_name == "ndjson":
            return Parsed(parse_json_lines(body, media, limits), format_name)
        module, function = _ELSEWHERE.get(format_name, (f"{format_name}_body", "parse"))
        parser: Parser = getattr(import_module(f"shared.formats.{module}"), function)
        return Parsed(parser(body, media, limits), format_name)
    except (RecursionError, MemoryError):  # the limits keep parsers far from both; a full machine may not
        raise errors.Rejected("too_many_values", f"the {format_name} body needs more memory than there is") from None


def parse_if(format_name: str, body: bytes, content_type: str | None, limits: Limits) -> Parsed | None:
    """Return None for a body that does not parse. Raises Rejected for a body that passes a limit."""
    try:
        return parse_as(format_name, body, content_type, limits)
    except errors.Rejected as error:
        if error.code != "malformed_body":
            raise
    return None


def parse_json(body: bytes, media: MediaType, limits: Limits, *, is_verified: bool = False) -> Json:
    """Parse UTF-8, as the RFC has it, unless the sender names another charset. A byte order mark is skipped.

    A lone surrogate is rejected, as no UTF-8 can hold it. `is_verified`: the text's shape was verified, and its charset
    is UTF-8. Raises Rejected, with no cause: it would carry the body into a traceback.
    """
    text = body
    if not is_verified:
        text = body.removeprefix(_BYTE_ORDER_MARK) if media.charset in _UTF_8 else _recoded(body, media)
    outlined = outline(text)
    marks = outlined.translate(None, _NOT_MARKS)
    quotes = marks.count(b'"')
    if not is_verified:
        counted = len(marks) - quotes
        if counted >= limits.max_nodes or counted - marks.count(b",") > limits.max_depth:
            verify_shape(text, limits)
    longest = limits.max_key_characters
    longest_key = longest if len(outlined) > longest and may_hold_string(outlined, longest) else None
    has_few_keys = len(outlined) <= limits.max_keys or outlined.count(b":") <= limits.max_keys
    most_keys = None if longest_key is None and has_few_keys else limits.max_keys
    # int() has a limit of its own, which is Limits' default.
    integers_are_bounded = min(sys.get_int_max_str_digits() or math.inf, len(text)) <= limits.max_number_digits
    longest_integer = None if integers_are_bounded else limits.max_number_digits
    if most_keys is longest_key is longest_integer is None:
        try:
            return _by_orjson(text, outlined, quotes)
        except (TypeError, ValueError):
            pass
    try:
        value: Json = _decoder(most_keys, longest_key, longest_integer).decode(text.decode("utf-8"))
    except json.JSONDecodeError as error:
        fault = error if text.strip() else "the body is empty"
        raise errors.Rejected(
            "malformed_body", f"not JSON: {fault}"
        ) from None  # its words, which quote nothing of the text
    except UnicodeDecodeError as error:
        raise errors.Rejected("malformed_body", f"not JSON: byte {error.start} is not UTF-8") from None
    except ValueError:  # from int(), which has a limit of its own
        raise errors.Rejected("number_out_of_range", "an integer has too many digits") from None
    if b"\\" in text and (b"\\ud" in text or b"\\uD" in text):
        _verify_whole_pairs(value)
    return value


def _by_orjson(text: bytes, outlined: bytes, quotes: int) -> Json:
    """Parse with orjson. Raises ValueError or TypeError if the standard library would not read the same value.

    A text that is the parsed value written again, as many senders write it, has no duplicate key and no number that was
    rounded. In any other object, a duplicate key is found by counting: the parsed value, written again, has fewer
    strings than the text. The outline has the same keys, and `quotes` quotation marks.
    """
    value: Json = orjson.loads(text)
    written = orjson.dumps(value if outlined is text else orjson.loads(outlined))
    if written == outlined:
        return value
    if has_long_number(outlined):
        raise ValueError
    if quotes - _escaped_quotes(outlined) != written.count(b'"') - _escaped_quotes(written):
        raise ValueError
    return value


def _escaped_quotes(text: bytes) -> int:
    """Count the quotation marks that neither begin nor end a string."""
    return text.replace(b"\\\\", b"").count(b'\\"') if b"\\" in text else 0


def parse_json_lines(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse newline-delimited JSON, and RFC 7464's sequences: a list of the values, one for each line."""
    text = body.removeprefix(_BYTE_ORDER_MARK) if media.charset in _UTF_8 else _recoded(body, media)
    count = sum(1 for _ in _LINE.finditer(text))
    verify_shape(text, limits, texts=1 + count, inside=1)
    values: list[Json] = []
    for number, line in enumerate(_LINE.finditer(text), start=1):
        try:
            values.append(parse_json(line[1], media, limits, is_verified=True))
        except errors.Rejected as error:
            raise errors.Rejected(error.code, f"JSON text {number} of {count}: {error.detail}") from None
    return values


def quotable_json(body: bytes, media: MediaType) -> bytes | None:
    """Return the body, which was parsed, as JSON that can stand in a document of ours; None if it cannot."""
    return None if media.charset not in _UTF_8 or body.startswith(_BYTE_ORDER_MARK) else body


def _recoded(body: bytes, media: MediaType) -> bytes:
    # Imported here, because few senders need it.
    from shared.formats.text_body import decode_text

    return decode_text(body, media.charset).encode()


def _verify_whole_pairs(value: Json) -> None:
    """Raises Rejected for half a surrogate pair: it is no character, so it could not be passed on as it came."""
    try:
        to_json(value).encode()
    except UnicodeEncodeError:
        rule = "a `\\uD800` to `\\uDFFF` must be half of a pair; one has no other half"
        raise errors.Rejected("malformed_body", f"not JSON that UTF-8 can hold: {rule}") from None


@lru_cache(maxsize=8)
def _decoder(most_keys: int | None, longest_key: int | None, longest_integer: int | None) -> json.JSONDecoder:
    """Return a decoder. None is for a text too short to hold as many keys, or a key or an integer that is too long."""
    return json.JSONDecoder(
        object_pairs_hook=_object_of if most_keys is longest_key is None else _object_maker(most_keys, longest_key),
        parse_int=None if longest_integer is None else _integer_maker(longest_integer),
        parse_float=finite,
        parse_constant=_no_constant,
    )


def _object_of(pairs: list[tuple[str, Json]]) -> JsonObject:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise errors.Rejected("duplicate_key", "an object has the same key twice")
    return made


def _object_maker(most_keys: int | None, longest_key: int | None) -> Callable[[list[tuple[str, Json]]], JsonObject]:
    def make(pairs: list[tuple[str, Json]]) -> JsonObject:
        made = dict(pairs)
        if len(made) != len(pairs):
            # Raises, because of the duplicate key.
            return _object_of(pairs)
        if most_keys is not None and len(made) > most_keys:
            raise errors.Rejected("too_many_values", f"an object has more than {most_keys} keys")
        # The sum is fast to compute, and rarely too large.
        if longest_key is not None and len("".join(made)) > longest_key and max(map(len, made)) > longest_key:
            raise errors.Rejected("too_many_values", f"a key is longer than {longest_key} characters")
        return made

    return make


def _integer_maker(longest: int) -> Callable[[str], int]:
    def make(digits: str) -> int:
        if len(digits.removeprefix("-")) > longest:
            raise errors.Rejected("number_out_of_range", f"an integer has more than {longest} digits")
        return int(digits)

    return make


def _no_constant(_: str) -> Json:
    raise errors.Rejected("malformed_body", "not JSON: it has no NaN and no Infinity")


def verify_shape(body: bytes, limits: Limits, *, texts: int = 1, inside: int = 0) -> None:
    """Verify how deep the values of a UTF-8 body are nested, and how many there are. Raises Rejected.

    `texts` is the number of JSON texts in the body, `inside` the number of levels that they will be put into. The
    counts are exact up to the first fault in the JSON, and the scanner reads no further.
    """
    # If no string contains a bracket or an escape, its two quotation marks are neighbours once all other characters are
    # removed.
    marks = body.translate(None, _NOT_STRINGS_AND_BRACKETS).replace(b'""', b"")
    if b'"' not in marks and b"\\" not in marks and texts + len(body.translate(None, _NOT_COUNTED)) <= limits.max_nodes:
        _verify_depth(marks, limits, inside)
        return
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
        raise errors.Rejected("nested_too_deeply", f"the JSON is nested deeper than {limits.max_depth} levels")


def _too_many(limits: Limits) -> errors.Rejected:
    return errors.Rejected("too_many_values", f"the JSON holds more than {limits.max_nodes} values")
