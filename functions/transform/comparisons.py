"""Explain why a condition is false for an event, by the values that it reads there.

If `data.total` is the number 250, false_hint explains the condition `data.total == '250'`:

    data.total is not a text, so it never equals one; write numbers, true and false in backticks instead of quotes
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from jmespath.parser import ParsedResult

from functions.transform.paths import MissingPaths, Path, path_of
from shared import casting, did_you_mean, errors, expressions
from shared.jsontext import Json, JsonObject, to_json, value_at

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

_PROJECTIONS: Final = frozenset({"projection", "filter_projection", "value_projection", "flatten"})
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_ITEMS: Final = 100
"""The most items of a list in which a comparison inside `[? … ]` is evaluated."""

_MISSING_PATHS: Final = MissingPaths(max_shapes=1_000)


class _PathRead(NamedTuple):
    """A path that an expression reads. `path` is None if it does not begin in `data`, or is more than names."""

    text: str
    node: "_TreeNode"
    path: Path | None


@lru_cache(maxsize=1_000)
def _paths_read(text: str) -> tuple[_PathRead, ...]:
    """Return each path that the expression reads, once, in the order in which it is written."""
    nodes = {path_text(node): node for node in _paths(expressions.Expression(text).tree)}
    return tuple([_PathRead(name, node, path_of(node)) for name, node in nodes.items()])


@dataclass(frozen=True, slots=True)
class PathValue:
    """A path that an expression reads, as JMESPath writes it, and the value in the event.

    likely_path  the path with the most similar name that the event has, if it lacks the last name of this path
    """

    path: str
    value: Json
    likely_path: str | None


def read_values(expression: expressions.Expression, value: Json) -> list[PathValue]:
    """Return each path that the expression reads in `value`, once, in the order in which it is written.

    Paths inside a list's `[? … ]` are not listed; the path of the list is.
    """
    return [
        PathValue(read.text, _search(read.node, value), _likely_path(read.node, value))
        for read in _paths_read(expression.text)
    ]


def _likely_path(node: "_TreeNode", value: Json) -> str | None:
    if node["type"] != "subexpression" or node["children"][-1]["type"] != "field":
        return None
    *above, last = node["children"]
    parent: _TreeNode = {"type": "subexpression", "value": None, "children": above}
    fields = _search(parent, value)
    if not isinstance(fields, dict) or last["value"] in fields:
        return None
    near = did_you_mean.nearest(str(last["value"]), fields)
    return f"{path_text(parent)}.{_name_text(near)}" if near else None


def compared_paths(expression: expressions.Expression) -> list[str]:
    """Return the paths that the expression compares with a number that it states, for any event."""
    return list(dict.fromkeys(_paths_beside_numbers(expression.tree)))


def false_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return why the condition is false and what to write instead, if it looks like a mistake; else an empty text.

    `view` is the event as expressions see it. The hint contains no value of the event but the name
    of its source, so that it can be logged.
    """
    return _comparison_hint(condition, view) or _contains_hint(condition, view) or _conversion_hint(condition, view)


def missing_text(*conditions: expressions.Expression, view: JsonObject) -> str:
    """Return a text about the paths that the conditions read and the event lacks; empty if it lacks none.

    It is added to a reason in the journal: `; 'data.state' is not in this event; did you mean 'data.status'?`. It names
    fields of the event, so it is not logged.
    """
    paths: dict[str, Path] = {}
    for condition in conditions:
        for read in _paths_read(condition.text):
            if read.path:
                paths[read.text] = read.path
    note = _MISSING_PATHS.note(view.get("data"), paths.values())
    return f"; {note}" if note else ""


def _comparison_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return the hint for a comparison of values that are never equal.

    XML, forms and CSV have no numbers: every value in them arrives as text.
    """
    comparisons = list(_comparisons(condition.tree, view))
    # A number, true or false in the event, and a text in the condition: data.total == '250'
    paths = _unique_paths(
        each for each in comparisons if isinstance(each.value, int | float) and isinstance(each.other, str)
    )
    if paths:
        rule = "is not a text, so it never equals one" if len(paths) == 1 else "are not texts, so they never equal one"
        advice = "write numbers, true and false in backticks instead of quotes, such as `250`"
        return f": {' and '.join(paths)} {rule}; {advice}"
    # Two texts that differ in case: data.plan == 'Gold'
    paths = _unique_paths(each for each in comparisons if _is_other_case(each.value, each.other))
    if paths:
        return f": {' and '.join(paths)} {'differs' if len(paths) == 1 else 'differ'} only in upper and lower case"
    # A text in the event, and true or false in the condition: data.paid == `true`
    paths = _unique_paths(each for each in comparisons if isinstance(each.other, bool) and isinstance(each.value, str))
    if paths:
        rule = f"{' and '.join(paths)} {'is' if len(paths) == 1 else 'are'} text, which never equals true or false"
        return f": {rule}; compare with a text, such as 'true', or `cast` to boolean on source {view.get('source')!r}"
    # A list in the event, and a single value in the condition: data.tags == 'urgent'
    if any(isinstance(each.value, list) and isinstance(each.other, str | int | float) for each in comparisons):
        return ": a list never equals a text or a number; write contains(LIST, VALUE)"
    # A number as text in the event, and a number in the condition: data.total > `100`
    paths = _unique_paths(each for each in comparisons if _is_number(each.other) and _is_number_as_text(each.value))
    if not paths:
        return ""
    casts = ", ".join(f"{path}: number" for path in paths)
    return (
        f": {' and '.join(paths)} {'is' if len(paths) == 1 else 'are'} text, which never equals or exceeds a number; "
        f"write to_number({paths[0]}), or `cast: {{{casts}}}` on source {view.get('source')!r}"
    )


_READS_AS_FALSE: Final = frozenset({"false", "no", "off", "null", "none", "0"})


def truth_hint(condition: expressions.Expression, value: Json) -> str:
    """Return why the condition is true although its value reads like false, such as the text `no`; else an empty text.

    XML, forms and CSV have no booleans: every value in them arrives as text. The hint holds no value.
    """
    if not isinstance(value, str) or value.strip().lower() not in _READS_AS_FALSE:
        return ""
    advice = "compare it with a text, such as 'true', or `cast` it to boolean on the source"
    return f"{condition.text} is a text that reads like false, and any text that is not empty counts as true: {advice}"


def path_text(node: "_TreeNode") -> str:
    """Return the path as JMESPath writes it, such as `data.items[0]."first name"`."""
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


def _paths(node: "_TreeNode") -> Iterator["_TreeNode"]:
    """Yield the node of each path that the expression reads."""
    if _is_path(node):
        yield node
        return
    if node["type"] == "subexpression":
        leading = list(_leading_path(node["children"]))
        if leading:
            yield {"type": "subexpression", "value": None, "children": leading}
            return
    if node["type"] in _PROJECTIONS or node["type"] in {"subexpression", "index_expression", "pipe"}:
        # The rest of the path is looked up in the value that was found there.
        yield from _paths(node["children"][0])
        return
    if node["type"] not in {"expref", "slice"}:
        for child in node["children"]:
            yield from _paths(child)


def _leading_path(nodes: "list[_TreeNode]") -> Iterator["_TreeNode"]:
    """Yield the parts of a path that come before its first projection: of `a.b[*].c`, the parts `a` and `b`."""
    for node in nodes:
        if not _is_path(node):
            if node["type"] in _PROJECTIONS and _is_path(node["children"][0]):
                yield node["children"][0]
            return
        yield node


def _is_path(node: "_TreeNode") -> bool:
    """Return whether the node is only names and positions, such as `data.items[0].price`."""
    if node["type"] == "index_expression":
        inner, *indexes = node["children"]
        if any(index["type"] != "index" for index in indexes):
            return False
        return inner["type"] == "identity" or _is_path(inner)
    return node["type"] == "field" or (node["type"] == "subexpression" and all(map(_is_path, node["children"])))


class _Comparison(NamedTuple):
    """A path that an expression compares, the value found there, and the other value."""

    path: "_TreeNode"
    value: Json
    other: Json


def _unique_paths(comparisons: Iterable[_Comparison]) -> list[str]:
    return list(dict.fromkeys(path_text(each.path) for each in comparisons))


def _comparisons(node: "_TreeNode", value: Json) -> Iterator[_Comparison]:
    """Yield each comparison of a path or a list in the expression, with the values that it compares."""
    # Each value is computed once: this runs for every route whose condition is false.
    if node["type"] == "comparator":
        left, right = node["children"]
        left_value, right_value = _search(left, value), _search(right, value)
        if _is_path(left) or isinstance(left_value, list):
            yield _Comparison(left, left_value, right_value)
        if _is_path(right) or isinstance(right_value, list):
            yield _Comparison(right, right_value, left_value)
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


def _paths_beside_numbers(node: "_TreeNode") -> Iterator[str]:
    if node["type"] == "comparator":
        left, right = node["children"]
        for one, other in ((left, right), (right, left)):
            if _is_path(one) and other["type"] == "literal" and _is_number(other["value"]):
                yield path_text(one)
    elif node["type"] in {"and_expression", "or_expression", "not_expression"}:
        for child in node["children"]:
            yield from _paths_beside_numbers(child)


def _contains_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return the hint for a call of contains() that never finds anything."""
    for call in _calls(condition.tree, "contains"):
        where, what = (_search(each, view) for each in call["children"])
        if isinstance(where, str) and not isinstance(what, str):
            return ": contains() takes first where to search, then the value: contains(data.tags, 'urgent')"
        if isinstance(where, list) and isinstance(what, str) and any(isinstance(item, dict) for item in where):
            return ": the items of the list are objects, which contain no text; write LIST[?FIELD == 'TEXT']"
    return ""


def _conversion_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return the hint for a text that is compared with a number, and that nothing converts to one."""
    paths = _unique_paths(
        each
        for each in _comparisons(condition.tree, view)
        if _is_number(each.other) and isinstance(each.value, str) and not _is_number_as_text(each.value)
    )
    for call in _calls(condition.tree, "to_number"):
        [argument] = call["children"]
        is_text = _is_path(argument) and isinstance(_search(argument, view), str)
        if is_text and _search(call, view) is None:
            paths.append(path_text(argument))
    if not paths:
        return ""
    rule = f"{' and '.join(dict.fromkeys(paths))} is text that is not written as a number, such as 12.50"
    return f": {rule}, so neither `cast` nor to_number() converts it"


def _calls(node: "_TreeNode", name: str) -> Iterator["_TreeNode"]:
    if node["type"] == "function_expression" and node["value"] == name:
        yield node
    if node["type"] in {"and_expression", "or_expression", "not_expression", "comparator"}:
        for child in node["children"]:
            yield from _calls(child, name)


def _is_other_case(value: Json, other: Json) -> bool:
    is_text = isinstance(value, str) and isinstance(other, str)
    return is_text and value != other and str(value).casefold() == str(other).casefold()


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
    if node["type"] == "literal":
        literal: Json = node["value"]
        return literal
    names = expressions.names_of_path(node)
    if names is not None:  # this takes a fifth of the time that jmespath takes
        return value_at(value, *names)
    try:
        return expressions.search_parsed(ParsedResult("", node), value)
    except errors.Permanent:  # what cannot be computed has no value to show
        return None
