"""The paths that a template reads from an event, and the nearest path for one that the event lacks."""

import itertools
import re
from collections.abc import Iterator
from typing import Final

from jinja2 import nodes

from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject

MAX_PATHS: Final = 2_000
MAX_DEPTH: Final = 10
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def paths_in(tree: nodes.Template) -> Iterator[str]:
    """Yield each path of constant names that the template reads, as `data.customer.name`."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if (parts := _parts(node)) is not None:
            yield ".".join(parts)


def _parts(node: nodes.Node) -> tuple[str, ...] | None:
    if isinstance(node, nodes.Name):
        return (node.name,)
    key = node.attr if isinstance(node, nodes.Getattr) else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = str(node.arg.value)
    if key is None or not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    before = _parts(node.node)
    return None if before is None else (*before, key)


def is_missing(path: str, view: JsonObject) -> bool:
    """Return whether the path begins at a field of the event and leads to nothing."""
    value: Json = view
    for number, part in enumerate(path.split(".")):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return number > 0  # a name that the template sets itself is none of the event's
    return False


def missing_path(path: str, view: JsonObject) -> str:
    """Say that the event lacks the path, and which of its own paths is meant, if one is near."""
    paths = itertools.islice(_known_paths(view, "", MAX_DEPTH), MAX_PATHS)
    known = [each for each in paths if not path.startswith(f"{each}.")]
    last = nearest(path.rpartition(".")[2], dict.fromkeys(each.rpartition(".")[2] for each in known))
    alike = [each for each in known if each.rpartition(".")[2] == last]
    near = nearest(path, alike) or next(iter(alike), None)
    meant = f"; did you mean {near!r}?" if near and near != path else ""
    return f"{path!r} is not in this event{meant}"


def _known_paths(value: Json, before: str, depth: int) -> Iterator[str]:
    """Yield the paths of the event with names of plain letters only: a sender chooses the others to be read."""
    if not isinstance(value, dict) or not depth:
        return
    for key in [key for key in value if _PLAIN_KEY.fullmatch(key)][:MAX_PATHS]:
        path = f"{before}.{key}" if before else key
        yield path
        yield from _known_paths(value[key], path, depth - 1)
