"""Objects and numbers built from what a sender wrote, within limits."""

import math

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject
from shared.limits import Limits


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
