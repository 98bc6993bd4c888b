"""The limits of a body that a source accepts, and the objects and numbers that parsers build within them.

A body past a limit is rejected, and never cut short.
"""

import math
from typing import Final, NamedTuple

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject

MIB: Final = 1024 * 1024


class Limits(NamedTuple):
    """
    max_body_bytes           as it came over the wire
    max_decoded_bytes        after gzip or deflate
    max_depth                objects and lists (or XML elements) inside one another
    max_nodes                values, in all; XML's attributes and YAML's keys are among them, and an alias in YAML
                             counts as all that it stands for
    max_keys                 of one object
    max_key_characters       of one key
    max_number_digits        of one integer; Python's own default limit, past which it converts no text to an integer
    max_fields               of one form
    max_parts                of one multipart body
    max_expanded_characters  of `data` where a format lets a few bytes stand for many: YAML's aliases, CSV's header,
                             references in a binary plist
    """

    max_body_bytes: int = MIB
    max_decoded_bytes: int = 5 * MIB
    max_depth: int = 64
    max_nodes: int = 250_000
    max_keys: int = 10_000
    max_key_characters: int = 65_536
    max_number_digits: int = 4_300
    max_fields: int = 1_000
    max_parts: int = 100
    max_expanded_characters: int = 16 * MIB


DEFAULT: Final = Limits()


def put(made: JsonObject, key: str, value: Json, limits: Limits) -> None:
    """Add an entry. Raises Rejected: `duplicate_key` for a key that is there, `too_many_values` for a key too long or
    one too many."""
    if key in made:
        raise Rejected("duplicate_key", "an object has the same key twice")
    _verify_key(made, key, limits)
    made[key] = value


def gather(made: JsonObject, key: str, value: Json, limits: Limits) -> None:
    """Add a value; a key's second value makes a list of both. `value` is no list. Raises Rejected."""
    if key not in made:
        _verify_key(made, key, limits)
        made[key] = value
        return
    before = made[key]
    if isinstance(before, list):
        before.append(value)
    else:
        made[key] = [before, value]


def _verify_key(made: JsonObject, key: str, limits: Limits) -> None:
    if len(key) > limits.max_key_characters:
        raise Rejected("too_many_values", f"a key is longer than {limits.max_key_characters} characters")
    if len(made) >= limits.max_keys:
        raise Rejected("too_many_values", f"an object has more than {limits.max_keys} keys")


def finite(text: str) -> float:
    """Convert a decimal number. Raises Rejected (`number_out_of_range`) where it is too large."""
    number = float(text)
    if not math.isfinite(number):
        raise Rejected("number_out_of_range", "a number is too large for a 64-bit float")
    return number


def integer(digits: str, base: int, limits: Limits) -> int:
    """Convert digits of the base, perhaps signed. Raises Rejected (`number_out_of_range`) where there are too many.

    A hexadecimal digit is worth 1.2 decimal ones, and JSON is written in decimal.
    """
    longest = limits.max_number_digits if base == 10 else limits.max_number_digits * 4 // 5
    if len(digits) > longest and len(digits.lstrip("+-")) > longest:
        raise Rejected("number_out_of_range", f"an integer has more than {longest} digits in base {base}")
    try:
        return int(digits, base)
    except ValueError:  # the interpreter's own limit, set lower than ours
        raise Rejected("number_out_of_range", "an integer has too many digits") from None
