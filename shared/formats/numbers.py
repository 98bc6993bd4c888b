"""Numbers as text, made numbers that JSON can hold."""

import math

from shared.errors import Rejected
from shared.limits import Limits


def finite(text: str) -> float:
    """Of a decimal number's text. Raises Rejected (`num`) where it is too large."""
    number = float(text)
    if not math.isfinite(number):
        raise Rejected("num", "a number is too large for a 64-bit float")
    return number


def integer(digits: str, base: int, limits: Limits) -> int:
    """Of digits that belong to the base, perhaps signed. Raises Rejected (`num`) where there are too many.

    A hexadecimal digit is worth 1.2 decimal ones, and JSON is written in decimal.
    """
    longest = limits.max_number_digits if base == 10 else limits.max_number_digits * 4 // 5
    if len(digits) > longest and len(digits.lstrip("+-")) > longest:
        raise Rejected("num", f"an integer has more than {longest} digits in base {base}")
    try:
        return int(digits, base)
    except ValueError:  # the interpreter's own limit, set lower than ours
        raise Rejected("num", "an integer has too many digits") from None
