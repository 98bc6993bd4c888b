"""Comparing what a sender wrote with what it should be, in time that tells nothing."""

import hmac
from collections.abc import Iterable, Sequence


def matches_any(given: Sequence[str], expected: Iterable[str]) -> bool:
    """Whether a given text is one of the expected, in time that does not tell which."""
    found = False
    for wanted in expected:
        for text in given:
            found |= hmac.compare_digest(text.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
    return found
