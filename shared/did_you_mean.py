"""Which name was meant, where there is none such."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'crm'?`, or what there is, or nothing."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """One that differs in its case and punctuation alone before one that differs in a letter: `sha-256` is `sha256`."""
    names = list(known)
    alike = [each for each in names if _bare(each) == _bare(name)]
    near = alike or difflib.get_close_matches(name, names, n=1)
    return near[0] if near else None


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
