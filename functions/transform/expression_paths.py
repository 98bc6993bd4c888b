"""The paths that an expression reads, the values that an event has there, and the paths that it lacks.

A path consists of names and positions. Where an expression goes on with each item of a list, its path ends at the list:

    data.items[0].price > `5`       data.items[0].price
    data.items[*].price             data.items
    data.items[?price > `5`].name   data.items
    length(data.items) > `2`        data.items

jmespath parses an expression into nodes. `is_path`, `path_text` and `search` take one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from jmespath.parser import ParsedResult

from functions.transform.paths import MissingPaths, Path, path_of
from shared import did_you_mean, errors, expressions
from shared.jsontext import Json, JsonObject, to_json, value_at

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MISSING_PATHS: Final = MissingPaths(max_shapes=1_000)


class _PathRead(NamedTuple):
    """A path that an expression reads, as JMESPath writes it, and its node.

    data_path  the same path for `MissingPaths`; None if it does not begin in `data`, or has a position
    """

    text: str
    node: "_TreeNode"
    data_path: Path | None


@lru_cache(maxsize=1_000)
def _paths_read(text: str) -> tuple[_PathRead, ...]:
    """Return each path that the expression reads, once, in the order in which it is written."""
    nodes = {path_text(node): node for node in _path_nodes(expressions.Expression(text).tree)}
    return tuple([_PathRead(path, node, path_of(node)) for path, node in nodes.items()])


@dataclass(frozen=True, slots=True)
class PathValue:
    """A path that an expression reads, as JMESPath writes it, and the value in the event.

    likely_path  the path with the most similar name that the event has, if it lacks the last name of this path
    """

    path: str
    value: Json
    likely_path: str | None


def read_values(expression: expressions.Expression, value: Json) -> list[PathValue]:
    """Return each path that the expression reads in `value`, once, in the order in which it is written."""
    return [
        PathValue(read.text, search(read.node, value), _likely_path(read.node, value))
        for read in _paths_read(expression.text)
    ]


def _likely_path(node: "_TreeNode", value: Json) -> str | None:
    """Return the path with the most similar name beside the last name of this path, if `value` lacks that name."""
    if node["type"] != "subexpression" or node["children"][-1]["type"] != "field":
        return None
    *above, last = node["children"]
    parent: _TreeNode = {"type": "subexpression", "value": None, "children": above}
    fields = search(parent, value)
    name = str(last["value"])
    if not isinstance(fields, dict) or name in fields:
        return None
    near = did_you_mean.nearest(name, fields)
    return f"{path_text(parent)}.{_name_text(near)}" if near else None


def missing_text(*conditions: expressions.Expression, view: JsonObject) -> str:
    """Return a text about the paths that the conditions read and the event lacks; empty if it lacks none.

    `view` is the event as expressions see it. The text is the end of a reason in the journal: `; 'data.state' is not in
    this event; did you mean 'data.status'?`. It names fields of the event, so it is not logged.
    """
    paths: dict[str, Path] = {}
    for condition in conditions:
        for read in _paths_read(condition.text):
            if read.data_path:
                paths[read.text] = read.data_path
    note = _MISSING_PATHS.note(view.get("data"), paths.values())
    return f"; {note}" if note else ""


def _path_nodes(node: "_TreeNode") -> Iterator["_TreeNode"]:
    """Yield the node of each path that the expression reads, in the order in which it is written."""
    if is_path(node):
        yield node
        return
    if node["type"] == "subexpression":  # such as `data.items[*].price`, of which this yields `data.items`
        leading = list(_leading_path(node["children"]))
        if leading:
            yield {"type": "subexpression", "value": None, "children": leading}
            return
    if node["type"] in expressions.LEADS_INSIDE:
        yield from _path_nodes(node["children"][0])
        return
    # The names in an `&price` belong to each item, and the children of a slice are numbers.
    if node["type"] not in {"expref", "slice"}:
        for child in node["children"]:
            yield from _path_nodes(child)


def _leading_path(nodes: "list[_TreeNode]") -> Iterator["_TreeNode"]:
    """Yield the parts of a path that come before its first projection: of `a.b[*].c`, the parts `a` and `b`."""
    for node in nodes:
        if not is_path(node):
            if node["type"] in expressions.PROJECTIONS and is_path(node["children"][0]):
                yield node["children"][0]
            return
        yield node


def is_path(node: "_TreeNode") -> bool:
    """Return whether the node is only names and positions, such as `data.items[0].price`."""
    if node["type"] == "index_expression":
        inner, *indexes = node["children"]
        if any(index["type"] != "index" for index in indexes):
            return False
        return inner["type"] == "identity" or is_path(inner)
    return node["type"] == "field" or (node["type"] == "subexpression" and all(map(is_path, node["children"])))


def path_text(node: "_TreeNode") -> str:
    """Return the path as JMESPath writes it, such as `data.items[0]."first name"`. `is_path` must be true for it."""
    if node["type"] == "field":
        return _name_text(str(node["value"]))
    if node["type"] == "index_expression":
        # In `items[0][1]`, both indexes are children of one node.
        inner, *indexes = node["children"]
        start = "" if inner["type"] == "identity" else path_text(inner)
        return start + "".join(f"[{index['value']}]" for index in indexes)
    return ".".join(map(path_text, node["children"]))


def _name_text(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else to_json(name)


def search(node: "_TreeNode", value: Json) -> Json:
    """Return the value of the node for `value`; None if it cannot be computed."""
    if node["type"] == "literal":
        literal: Json = node["value"]
        return literal
    names = expressions.names_of_path(node)
    if names is not None:  # this takes a fifth of the time that jmespath takes
        return value_at(value, *names)
    try:
        return expressions.search_parsed(ParsedResult("", node), value)
    except errors.Permanent:
        return None
