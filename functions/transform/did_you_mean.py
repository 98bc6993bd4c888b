"""Which name was meant."""

import difflib
from collections.abc import Sequence


def did_you_mean(name: str, known: Sequence[str], none: str = "") -> str:
    """`did you mean 'clean'?`, or what there is, or `none`."""
    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(known)}" if known else none
