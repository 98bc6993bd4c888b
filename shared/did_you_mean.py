"""Suggestions for a name that does not exist."""

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'crm'?`, or the names that exist, or nothing."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return one that differs only in case and punctuation before one that differs in a letter."""
    names = list(known)
    if alike := [each for each in names if _bare(each) == _bare(name)]:
        return alike[0]
    import difflib  # with a fault only: it takes 4 ms of a start

    return next(iter(difflib.get_close_matches(name, names, n=1)), None)


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
