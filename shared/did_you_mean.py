"""Suggestions for a name that does not exist. Those for a path that an event lacks are in missing_paths.py."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

LEAST_LIKENESS: Final = 0.7
"""At 0.6, difflib's own bound, `name` and `number` or `code` and `order` are alike."""
LEAST_CUT: Final = 3
"""The fewest characters of a name that is cut short, such as `int` for `integer`."""
_BODY_ELSEWHERE: Final = frozenset({"body", "payload", "event", "json", "request", "trigger", "inputs"})
"""The names of the body in other products."""
_NOT_IN_EVENTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("header", "headers"), "a source's `type`, `id`, `subject` and `actor` can read a header"),
    **dict.fromkeys(("env", "secret", "secrets", "vars"), "templates and conditions cannot read secrets or variables"),
    **dict.fromkeys(("now", "today", "date", "timestamp"), "`receivedat` is the time when the event arrived"),
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'crm'?`, or the names that exist, or nothing."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is probably meant, or None.

    That is the first of these that exists: one that differs only in case and punctuation, one that differs in few
    letters, one that begins with the name, and one with which the name begins.
    """
    names = list(known)
    if alike := [each for each in names if _bare(each) == _bare(name)]:
        return alike[0]
    # Imported here, because it takes 4 ms, and only faults need it.
    import difflib

    if close := difflib.get_close_matches(name, names, 1, LEAST_LIKENESS):
        return close[0]
    longer = [each for each in names if len(name) >= LEAST_CUT and each.startswith(name)]
    shorter = [each for each in names if len(each) >= LEAST_CUT and name.startswith(each)]
    return next(iter(longer + shorter), None)


def unknown_name_hint(name: str, text: str, known: Collection[str]) -> str:
    """Return what a name at the top of a template or condition may mean, and the names that are known there."""
    known_names = ", ".join(sorted(known))
    if hyphened := re.search(rf"\b(data(?:\.\w+)*)\.(\w+(?:-\w+)*-{re.escape(name)}\b[\w-]*)", text):
        return f"write a name with a hyphen as {hyphened[1]}[{hyphened[2]!r}]"
    if "data" in known and name in _NOT_IN_EVENTS:
        return f"{_NOT_IN_EVENTS[name]}. There are {known_names}"
    if "data" in known and name in _BODY_ELSEWHERE and re.search(rf"\b{name}\s*[.\[]", text):
        return f"did you mean 'data', which is the body? There are {known_names}"
    near = nearest(name, known) or (f"data.{name}" if "data" in known else None)
    return f"did you mean {near!r}? There are {known_names}" if near else f"there are {known_names}"


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
