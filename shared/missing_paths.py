"""Messages about a path that an event lacks, such as `data.customer.nme`, with the path that is probably meant.

A path here is names with dots between them, and a position in a list is a name, too: `data.items.0.price`. The paths of
steps have positions in brackets: `data.items[0].price`, or `data.items[*].price` for each item. Only `removal_hint`
meets both, and compares them without their positions.

A message travels as text: in a note, a fault or a reason. `removal_hint` finds the path in it again by IS_MISSING or
IS_NOT_THERE, so whoever writes such a message uses one of them.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject, from_json, kind_of

MAX_PATHS: Final = 2_000
"""The most paths of an event that are compared with the missing one."""
MAX_PATH_DEPTH: Final = 10
"""The most names of such a path."""
IS_MISSING: Final = " is not in this event"
"""The words after the path in a message about a path that an event lacks."""
IS_NOT_THERE: Final = " is not there"
"""The words after the path at the end of a fault's detail, if a step needs something at the path."""
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MISSING_PATH: Final = re.compile(rf"(data[\w.\[\]*-]*)'?(?:{IS_MISSING}|{IS_NOT_THERE})")
"""A path in the data within a message, with or without quotes."""
_POSITION: Final = re.compile(r"\.\d+(?=\.|$)|\[[\d*]+\]")
"""A position in a path: `.0`, `[0]` or `[*]`."""


def is_missing(path: str, view: JsonObject) -> bool:
    """Return whether the path begins at a field of the event and leads to nothing."""
    names = path.split(".")
    present_count = _present_count(names, view)
    return 0 < present_count < len(names)  # with none present, the first is no field of the event: a template set it


def missing_path_message(path: str, view: JsonObject, act: str = "") -> str:
    """Return a message that the event lacks the path, with the first hint that applies, and with `act`.

    If the event has the path after all, the message says what is there, such as null. The hints are: the JSON in a text
    that holds the field, the kind of the value on the way that has no fields, and the nearest path. `act` says what
    happens, or what to do: a clause with a small letter and without a full stop. It is left out beside JSON in a text,
    whose hint says what to do.
    """
    names = path.split(".")
    present = names[: _present_count(names, view)]
    value = _value_at(present, view)
    if present == names:
        return _and_then(f"{path!r} is {kind_of(value)} in this event", act)
    rule = f"{path!r}{IS_MISSING}"
    if len(present) == 1 and (packed := _packed_hint(names[1], view)):
        return f"{rule}; {packed}"
    if present and not isinstance(value, dict):
        kind = "an empty list" if value == [] else kind_of(value)
        return _and_then(f"{rule}, where {'.'.join(present)!r} is {kind}", act)
    near = likely_path(path, view)
    if near is not None:
        return f"{rule}; did you mean {near!r}? {act[:1].upper()}{act[1:]}".rstrip()
    return _and_then(rule, act)


def plain_message(path: str, act: str = "") -> str:
    """Return a message that the event lacks the path, without a hint. `act` is as in `missing_path_message`."""
    return _and_then(f"{path!r}{IS_MISSING}", act)


def _and_then(rule: str, act: str) -> str:
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
    """Return the event's path that is nearest to this path, which it lacks; None if none is near.

    If none is near to the whole path, it is the one that is nearest to the path up to the first missing name.
    """
    names = path.split(".")
    first_missing = ".".join(names[: _present_count(names, view) + 1])
    is_in_data = path.startswith("data.")
    # A path in the data can mean a field at the top only by the field's whole name: `data.source` means `source`, but
    # `data.host` does not mean `hops`.
    own_name = path.removeprefix("data.")
    known = [
        each
        for each in itertools.islice(_known_paths(view, "", MAX_PATH_DEPTH), MAX_PATHS)
        if not path.startswith(f"{each}.") and (each.startswith("data.") or each == own_name or not is_in_data)
    ]
    near = _nearest_path(path, known)
    return near if near or first_missing == path else _nearest_path(first_missing, known)


def removal_hint(message: str, removals: Mapping[str, Sequence[str]]) -> str:
    """Return the steps that may have removed the path that a message says is missing, as a sentence after a full stop.

    `removals` are the paths that each step removes, by its label.
    """
    found = _MISSING_PATH.search(message)
    if found is None:
        return ""
    missing = found[1]
    labels = [label for label, paths in removals.items() if any(_is_within(missing, removed) for removed in paths)]
    return f". The route's {' or '.join(labels)} may have removed it" if labels else ""


def _is_within(path: str, outer: str) -> bool:
    """Return whether the path is the outer one or leads further, if their positions are left out."""
    names, outer_names = _POSITION.sub("", path), _POSITION.sub("", outer)
    return names == outer_names or names.startswith(f"{outer_names}.")


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
