"""The limits of a body that a source accepts, and the objects and numbers that parsers build within them.

A body past a limit is rejected, and never cut short.
"""

import math
from typing import Final, NamedTuple

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject

MIB: Final = 1024 * 1024


class Limits(NamedTuple):
    """The limits of a body.

    max_body_bytes           the size of the body as it was sent
    max_decoded_bytes        its size after gzip or deflate
    max_depth                the levels of objects and lists, or of XML elements
    max_nodes                the number of values, with XML's attributes and YAML's keys. An alias in YAML counts as all
                             that it stands for
    max_keys                 the keys of an object
    max_key_characters       the length of a key
    max_number_digits        the digits of an integer. It is Python's own default limit
    max_fields               the fields of a form
    max_parts                the parts of a multipart body
    max_expanded_characters  the characters of `data` in a format in which a few bytes can stand for many: YAML's
                             aliases, CSV's header, references in a binary property list
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
    """Add a member to an object that is being built.

    Raises Rejected: `duplicate_key` if the object has the key, `too_many_values` for a key that is too long, or one key
    too many.
    """
    if key in made:
        raise Rejected("duplicate_key", "an object has the same key twice")
    _verify_key(made, key, limits)
    made[key] = value


def gather(made: JsonObject, key: str, value: Json, limits: Limits) -> None:
    """Add a value to an object that is being built. A further value of a key makes a list of its values.

    `value` must not be a list. Raises Rejected (`too_many_values`).
    """
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
    """Convert a decimal number. Raises Rejected (`number_out_of_range`) if it is too large."""
    number = float(text)
    if not math.isfinite(number):
        raise Rejected("number_out_of_range", "a number is too large for a 64-bit float")
    return number


def integer(digits: str, base: int, limits: Limits) -> int:
    """Convert digits of the base, with or without a sign. Raises Rejected (`number_out_of_range`) for too many."""
    # JSON is written in decimal, and a hexadecimal digit is worth 1.2 decimal ones.
    longest = limits.max_number_digits if base == 10 else limits.max_number_digits * 4 // 5
    if len(digits) > longest and len(digits.lstrip("+-")) > longest:
        raise Rejected("number_out_of_range", f"an integer has more than {longest} digits in base {base}")
    try:
        return int(digits, base)
    except ValueError:  # the interpreter's own limit, set lower than ours
        raise Rejected("number_out_of_range", "an integer has too many digits") from None
