"""The paths that a template reads from an event, and the nearest path for one that the event lacks."""

import itertools
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from jinja2 import nodes

from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject

MAX_PATHS: Final = 2_000
MAX_DEPTH: Final = 10
MAX_PLAIN_KEYS: Final = 50
MAX_ALL_PLAIN_KEYS: Final = 1_000
"""Jinja compiles them within 50 ms, which an event may have to wait for."""
Path: TypeAlias = tuple[object, ...]
"""Constant keys, beginning at a field of the event: names, and indexes of list items."""
Pieces: TypeAlias = tuple[str | Path, ...]
"""The texts and the paths of a template that has nothing else."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def paths_in(tree: nodes.Template) -> Iterator[str]:
    """Yield each path of constant names that the template reads, as `data.customer.name`."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if (path := path_of(node)) is not None:
            yield ".".join(map(str, path))


def path_of(node: nodes.Node) -> Path | None:
    """Return the path that the node reads; None if it is no path, or if a key is computed."""
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=owner, attr=key) | nodes.Getitem(node=owner, arg=nodes.Const(value=key)):
            before = path_of(owner)
            return before and (*before, key)
    return None


def plain_pieces(tree: nodes.Template) -> Pieces:
    """Return the texts and the paths of fields that the template consists of.

    Return nothing if it has any other node, a path so long that Jinja's recursive compiler might fail at it, or so
    many keys that an event, whose values turn out not to be text, should not wait for the compiler.
    """
    shown = [node for each in tree.body for node in (each.nodes if isinstance(each, nodes.Output) else [each])]
    pieces = [node.data if isinstance(node, nodes.TemplateData) else path_of(node) for node in shown]
    lengths = [len(piece) for piece in pieces if isinstance(piece, tuple)]
    if max(lengths, default=0) > MAX_PLAIN_KEYS or sum(lengths) > MAX_ALL_PLAIN_KEYS or None in pieces:
        return ()
    return tuple(piece for piece in pieces if piece is not None)


def is_missing(path: str, view: JsonObject) -> bool:
    """Return whether the path begins at a field of the event and leads to nothing."""
    value: Json = view
    for number, part in enumerate(path.split(".")):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return number > 0  # a name that the template itself sets is not a field of the event
    return False


def missing_path(path: str, view: JsonObject) -> str:
    """Return a message that the event lacks the path, with the nearest path that the event has, if one is near."""
    paths = itertools.islice(_known_paths(view, "", MAX_DEPTH), MAX_PATHS)
    name = path.rpartition(".")[2]
    is_in_data = path.startswith("data.")  # a top-level field is meant only by its own name: 'host' is not 'hops'
    known = [
        each
        for each in paths
        if not path.startswith(f"{each}.") and (each.startswith("data.") or each == name or not is_in_data)
    ]
    last = nearest(name, dict.fromkeys(each.rpartition(".")[2] for each in known))
    alike = [each for each in known if each.rpartition(".")[2] == last]
    near = nearest(path, alike) or next(iter(alike), None)
    meant = f"; did you mean {near!r}?" if near and near != path else ""
    return f"{path!r} is not in this event{meant}"


def _known_paths(value: Json, before: str, depth: int) -> Iterator[str]:
    """Yield the event's paths that have plain names only: other names could hold any text that a sender chooses."""
    if not isinstance(value, dict) or not depth:
        return
    for key in [key for key in value if _PLAIN_KEY.fullmatch(key)][:MAX_PATHS]:
        path = f"{before}.{key}" if before else key
        yield path
        yield from _known_paths(value[key], path, depth - 1)
