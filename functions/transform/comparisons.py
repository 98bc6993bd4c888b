"""The values that an expression reads in one event, to explain why a condition is false."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jmespath.parser import ParsedResult

from shared import casting, errors, expressions
from shared.jsontext import Json, JsonObject, to_json

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

_PROJECTIONS: Final = frozenset({"projection", "filter_projection", "value_projection", "flatten"})
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_ITEMS: Final = 100
"""Items of a list in which a comparison inside `[? … ]` is evaluated."""


@dataclass(frozen=True, slots=True)
class PathValue:
    """A path that an expression reads, as JMESPath writes it, and the value found there."""

    path: str
    value: Json


def read_values(expression: expressions.Expression, value: Json) -> list[PathValue]:
    """Return each path that the expression reads in `value`, once, in the order in which it is written.

    Paths inside a list's `[? … ]` are not listed; the path of the list is.
    """
    paths = {path_text(node): node for node in _paths(expression.tree)}
    return [PathValue(path, _search(node, value)) for path, node in paths.items()]


def numbers_as_text(expression: expressions.Expression, value: Json) -> list[str]:
    """Return the paths whose text reads as a number and is compared with a number, which is never true.

    XML, forms and CSV have no numbers: every value in them arrives as text.
    """
    return _unique(
        path
        for path, found, other in _comparisons(expression.tree, value)
        if _is_number_as_text(found) and _is_number(other)
    )


def compared_with_text(expression: expressions.Expression, value: Json) -> list[str]:
    """Return the paths whose number or boolean is compared with a text, which is never equal to it."""
    return _unique(
        path
        for path, found, other in _comparisons(expression.tree, value)
        if isinstance(found, int | float) and isinstance(other, str)
    )


def compared_paths(expression: expressions.Expression) -> list[str]:
    """Return the paths that the expression compares with a number that it states, for any event."""
    return _unique(_compared_paths(expression.tree))


def _unique(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(paths))


def comparison_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return why the condition is false and what to write, if it compares text with another kind; else empty text.

    `view` is the event as expressions see it. The hint holds no value, so that it can be logged.
    """
    if paths := compared_with_text(condition, view):
        rule = "is not a text, so it never equals one" if len(paths) == 1 else "are not texts, so they never equal one"
        act = "write numbers, true and false in backticks instead of quotes, such as `250`"
        return f": {' and '.join(paths)} {rule}; {act}"
    paths = numbers_as_text(condition, view)
    if not paths:
        return ""
    casts = ", ".join(f"{path}: number" for path in paths)
    return (
        f": {' and '.join(paths)} {'is' if len(paths) == 1 else 'are'} text, which never equals or exceeds a number; "
        f"write to_number({paths[0]}), or `cast: {{{casts}}}` on source {view.get('source')!r}"
    )


_READS_AS_FALSE: Final = frozenset({"false", "no", "off", "null", "none", "0"})


def truth_hint(condition: expressions.Expression, value: Json) -> str:
    """Return why the condition is true although its value reads like false; an empty string for any other value.

    XML, forms and CSV have no booleans: every value in them arrives as text. The hint holds no value.
    """
    if not isinstance(value, str) or value.strip().lower() not in _READS_AS_FALSE:
        return ""
    act = "compare it with a text, such as 'true', or `cast` it to boolean on the source"
    return f"{condition.text} is a text that reads like false, and any text that is not empty counts as true: {act}"


def path_text(node: "_TreeNode") -> str:
    """Return the path as JMESPath writes it, such as `data.items[0]."first name"`."""
    if node["type"] == "field":
        name = str(node["value"])
        return name if _IDENTIFIER.fullmatch(name) else to_json(name)
    if node["type"] == "index_expression":
        inner, index = node["children"]
        return f"{'' if inner['type'] == 'identity' else path_text(inner)}[{index['value']}]"
    return ".".join(map(path_text, node["children"]))


def _paths(node: "_TreeNode") -> Iterator["_TreeNode"]:
    if _is_path(node):
        yield node
        return
    if node["type"] == "subexpression":
        leading = list(_leading_path(node["children"]))
        if leading:
            yield {"type": "subexpression", "value": None, "children": leading}
            return
    if node["type"] in _PROJECTIONS or node["type"] in {"subexpression", "index_expression", "pipe"}:
        yield from _paths(node["children"][0])  # what follows is looked up in what was found there
        return
    if node["type"] not in {"expref", "slice"}:
        for child in node["children"]:
            yield from _paths(child)


def _leading_path(nodes: "list[_TreeNode]") -> Iterator["_TreeNode"]:
    """Yield the parts up to the first list that is projected, with that list's own path."""
    for node in nodes:
        if not _is_path(node):
            if node["type"] in _PROJECTIONS and _is_path(node["children"][0]):
                yield node["children"][0]
            return
        yield node


def _is_path(node: "_TreeNode") -> bool:
    if node["type"] == "index_expression":
        inner, index = node["children"]
        return index["type"] == "index" and (inner["type"] == "identity" or _is_path(inner))
    return node["type"] == "field" or (node["type"] == "subexpression" and all(map(_is_path, node["children"])))


def _comparisons(node: "_TreeNode", value: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield each path that is compared, its value, and the value that it is compared with."""
    if node["type"] == "comparator":
        left, right = node["children"]
        for one, other in ((left, right), (right, left)):
            if _is_path(one):
                yield path_text(one), _search(one, value), _search(other, value)
        return
    if node["type"] == "filter_projection":
        items = _search(node["children"][0], value)
        for item in items[:MAX_ITEMS] if isinstance(items, list) else ():
            yield from _comparisons(node["children"][2], item)
        return
    if node["type"] in {"and_expression", "or_expression", "not_expression"}:
        for child in node["children"]:
            yield from _comparisons(child, value)
    elif node["type"] in {"pipe", "projection", "function_expression", "subexpression"} and node["children"]:
        yield from _comparisons(node["children"][0], value)


def _compared_paths(node: "_TreeNode") -> Iterator[str]:
    if node["type"] == "comparator":
        left, right = node["children"]
        for one, other in ((left, right), (right, left)):
            if _is_path(one) and other["type"] == "literal" and _is_number(other["value"]):
                yield path_text(one)
    elif node["type"] in {"and_expression", "or_expression", "not_expression"}:
        for child in node["children"]:
            yield from _compared_paths(child)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number_as_text(value: Json) -> bool:
    if not isinstance(value, str):
        return False
    try:
        casting.CASTS["number"](value)
    except ValueError:
        return False
    return True


def _search(node: "_TreeNode", value: Json) -> Json:
    try:
        return expressions.search_parsed(ParsedResult("", node), value)
    except errors.Permanent:  # what cannot be computed has no value to show
        return None
