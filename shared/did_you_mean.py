"""Suggestions for a name or a path that does not exist."""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from shared.jsontext import Json, JsonObject, from_json, kind_of

MAX_PATHS: Final = 2_000
MAX_PATH_DEPTH: Final = 10
LEAST_LIKENESS: Final = 0.7
"""At 0.6, difflib's own bound, `name` and `number` or `code` and `order` are alike."""
LEAST_CUT: Final = 3
"""The characters of a name that is cut short, such as `int` for `integer`."""

IS_MISSING: Final = " is not in this event"
"""The part that each message about a path that an event lacks has."""
IS_NOT_THERE: Final = " is not there"
"""The end of the detail of a fault about a place where there is nothing."""
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MISSING: Final = re.compile(rf"(data[\w.\[\]*-]*)'?(?:{IS_MISSING}|{IS_NOT_THERE})")
_INDEX: Final = re.compile(r"\.\d+(?=\.|$)|\[[\d*]+\]")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'crm'?`, or the names that exist, or nothing."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return one that differs only in case and punctuation, or that differs in few letters, or that is cut short."""
    names = list(known)
    if alike := [each for each in names if _bare(each) == _bare(name)]:
        return alike[0]
    # Imported here, because it takes 4 ms, and only faults need it.
    import difflib

    if close := difflib.get_close_matches(name, names, 1, LEAST_LIKENESS):
        return close[0]
    longer = [each for each in names if len(name) >= LEAST_CUT and each.startswith(name)]
    shorter = [each for each in names if len(each) >= LEAST_CUT and name.startswith(each)]
    return next(iter([*longer, *shorter]), None)


_BODY_ELSEWHERE: Final = frozenset({"body", "payload", "event", "json", "request", "trigger", "inputs"})
"""The names of the body in other products."""
_NOT_IN_EVENTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("header", "headers"), "a source's `type`, `id`, `subject` and `actor` can read a header"),
    **dict.fromkeys(("env", "secret", "secrets", "vars"), "templates and conditions cannot read secrets or variables"),
    **dict.fromkeys(("now", "today", "date", "timestamp"), "`receivedat` is the time when the event arrived"),
}


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


def is_missing(path: str, view: JsonObject) -> bool:
    """Return whether the path begins at a field of the event and leads to nothing."""
    names = path.split(".")
    return 0 < _present_count(names, view) < len(names)  # a name that a template sets is not a field of the event


def missing_path(path: str, view: JsonObject, act: str = "") -> str:
    """Return a message that the event lacks the path, the nearest path that it has, if one is near, and what to do.

    Of a value on the way that has no fields, the message has its kind. At the path itself, there may be null.
    """
    names = path.split(".")
    present = names[: _present_count(names, view)]
    value = _value_at(present, view)
    if present == names:
        return f"{path!r} is {kind_of(value)} in this event; {act}".removesuffix("; ")
    rule = f"{path!r}{IS_MISSING}"
    if len(present) == 1 and (packed := _packed_hint(names[1], view)):
        return f"{rule}; {packed}"
    if present and not isinstance(value, dict):
        kind = "an empty list" if value == [] else kind_of(value)
        rule = f"{rule}, where {'.'.join(present)!r} is {kind}"
    elif near := likely_path(path, view):
        return f"{rule}; did you mean {near!r}? {act[:1].upper()}{act[1:]}".rstrip()
    return f"{rule}; {act}" if act else rule


def _packed_hint(name: str, view: JsonObject) -> str:
    """Return where the field is, if it is in JSON that the data holds as a text."""
    data = view.get("data")
    if isinstance(data, str) and name in _object_in(data):
        return "the body is a text that holds it as JSON: the sender must encode the object once, not twice"
    for key, value in data.items() if isinstance(data, dict) else ():
        if _PLAIN_KEY.fullmatch(key) and name in _object_in(value):
            return f"data.{key} holds it, as JSON in a text: set `unpack: data.{key}` on the source"
    return ""


def _object_in(value: Json) -> JsonObject:
    """Return the object that the text holds as JSON; an empty one if it holds none."""
    if not isinstance(value, str) or value.lstrip()[:1] != "{":
        return {}
    try:
        found = from_json(value.encode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def likely_path(path: str, view: JsonObject) -> str | None:
    """Return the event's path that is nearest to one that it lacks, or to the first part that it lacks; None if none
    is near."""
    names = path.split(".")
    missing = ".".join(names[: _present_count(names, view) + 1])
    is_in_data = path.startswith("data.")
    own_name = path.removeprefix("data.")  # a top-level field is meant only by its own name: 'host' is not 'hops'
    known = [
        each
        for each in itertools.islice(_known_paths(view, "", MAX_PATH_DEPTH), MAX_PATHS)
        if not path.startswith(f"{each}.") and (each.startswith("data.") or each == own_name or not is_in_data)
    ]
    return _nearest_path(path, known) or (_nearest_path(missing, known) if missing != path else None)


def removal_hint(message: str, removals: Mapping[str, Sequence[str]]) -> str:
    """Return the steps that may have removed the path that a message says is missing, as a sentence after a full stop.

    `removals` are the paths that each step removes, by its label.
    """
    found = _MISSING.search(message)
    if found is None:
        return ""
    missing = _INDEX.sub("", found[1])
    labels = [label for label, paths in removals.items() if any(_is_within(missing, path) for path in paths)]
    return f". The route's {' or '.join(labels)} may have removed it" if labels else ""


def _is_within(path: str, removed: str) -> bool:
    plain = _INDEX.sub("", removed)
    return path == plain or path.startswith(f"{plain}.")


def _nearest_path(path: str, known: list[str]) -> str | None:
    last = nearest(path.rpartition(".")[2], dict.fromkeys(each.rpartition(".")[2] for each in known))
    alike = [each for each in known if each.rpartition(".")[2] == last and each != path]
    return nearest(path, alike) or next(iter(alike), None)


def _present_count(names: list[str], view: JsonObject) -> int:
    """Return how many of the names, from the first, lead to something in the event."""
    value: Json = view
    for number, name in enumerate(names):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return number
    return len(names)


def _value_at(names: list[str], view: JsonObject) -> Json:
    """Return the value that the names lead to; the event has it."""
    value: Json = view
    for name in names:
        value = value[int(name)] if isinstance(value, list) else value[name] if isinstance(value, dict) else None
    return value


def _known_paths(value: Json, before: str, depth: int) -> Iterator[str]:
    """Yield the event's paths that have plain names only: other names could hold any text that a sender chooses."""
    if not isinstance(value, dict) or not depth:
        return
    for key in [key for key in value if _PLAIN_KEY.fullmatch(key)][:MAX_PATHS]:
        path = f"{before}.{key}" if before else key
        yield path
        yield from _known_paths(value[key], path, depth - 1)
