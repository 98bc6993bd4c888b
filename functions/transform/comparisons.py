"""Explain a condition's result for an event, if the condition looks like a mistake.

`false_hint` explains why a condition is false. It knows these mistakes, in this order:

    data.total == '250'             the event has a number, true or false there
    data.plan == 'Gold'             the event has the same text in other upper and lower case
    data.paid == `true`             the event has a text
    data.tags == 'urgent'           the event has a list
    data.total > `100`              the event has a number as text
    contains('urgent', data.tags)   contains() has its arguments the wrong way round, or searches objects for a text
    data.total > `100`              the event has a text that is not written as a number

XML, forms and CSV have only texts. `truth_hint` explains why a condition is true although its value reads like false.

A hint contains no value of the event but the name of its source, so it can be logged.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.transform.expression_paths import is_path, path_text, search
from shared import expressions
from shared.casting import is_number, reads_as_number
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

MAX_ITEMS: Final = 100
"""The most items of a list in which a comparison inside `[? … ]` is evaluated."""
_READS_AS_FALSE: Final = frozenset({"false", "no", "off", "null", "none", "0"})


def false_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return why the condition is false and what to write instead, if it looks like a mistake; else an empty text.

    `view` is the event as expressions see it. The hint is the end of a message: `: data.total is not a text, …`.
    """
    comparisons = list(_comparisons(condition.tree, view))
    source_text = repr(view.get("source"))
    return (
        _quoted_number_hint(comparisons)
        or _letter_case_hint(comparisons)
        or _boolean_hint(comparisons, source_text)
        or _list_hint(comparisons)
        or _number_hint(comparisons, source_text)
        or _contains_hint(condition, view)
        or _conversion_hint(comparisons, condition, view)
    )


def truth_hint(condition: expressions.Expression, value: Json) -> str:
    """Return why the condition is true although its value reads like false, such as the text `no`; else an empty text.

    The hint is a sentence that begins with the condition.
    """
    if not isinstance(value, str) or value.strip().lower() not in _READS_AS_FALSE:
        return ""
    advice = "compare it with a text, such as 'true', or `cast` it to boolean on the source"
    return f"{condition.text} is a text that reads like false, and any text that is not empty counts as true: {advice}"


class _Comparison(NamedTuple):
    """A path or a list that a condition compares, as its node; the value found there, and the other value."""

    node: "_TreeNode"
    value: Json
    other: Json


def _comparisons(node: "_TreeNode", value: Json) -> Iterator[_Comparison]:
    """Yield each comparison of a path or a list in the condition, with the values that it compares.

    If both sides are paths or lists, the comparison is yielded once for each side.
    """
    # Each value is computed once: this runs for every route whose condition is false.
    if node["type"] == "comparator":
        left, right = node["children"]
        left_value, right_value = search(left, value), search(right, value)
        if is_path(left) or isinstance(left_value, list):
            yield _Comparison(left, left_value, right_value)
        if is_path(right) or isinstance(right_value, list):
            yield _Comparison(right, right_value, left_value)
    elif node["type"] == "filter_projection":
        items = search(node["children"][0], value)
        for item in items[:MAX_ITEMS] if isinstance(items, list) else ():
            yield from _comparisons(node["children"][2], item)
    elif node["type"] in expressions.LOGICAL:
        for child in node["children"]:
            yield from _comparisons(child, value)
    elif node["type"] in {"pipe", "projection", "function_expression", "subexpression"} and node["children"]:
        # A comparison inside `[? … ]` may come first: length(data.items[?price > `5`])
        yield from _comparisons(node["children"][0], value)


def _paths_where(comparisons: Iterable[_Comparison], is_mistake: Callable[[Json, Json], bool]) -> list[str]:
    """Return each path, once, whose value and the value beside it are the mistake. Its value must not be a list."""
    paths = [path_text(each.node) for each in comparisons if is_mistake(each.value, each.other)]
    return list(dict.fromkeys(paths))


def _hint(paths: Sequence[str], *, one: str, several: str, rest: str) -> str:
    """Return the hint about the paths: what is true of one or of several of them, and the rest. Empty without paths."""
    return f": {' and '.join(paths)} {one if len(paths) == 1 else several}{rest}" if paths else ""


def _quoted_number_hint(comparisons: Sequence[_Comparison]) -> str:
    paths = _paths_where(
        comparisons, lambda value, other: isinstance(value, bool | int | float) and isinstance(other, str)
    )
    rest = "; write numbers, true and false in backticks instead of quotes, such as `250`"
    one = "is not a text, so it never equals one"
    return _hint(paths, one=one, several="are not texts, so they never equal one", rest=rest)


def _letter_case_hint(comparisons: Sequence[_Comparison]) -> str:
    def is_mistake(value: Json, other: Json) -> bool:
        is_text = isinstance(value, str) and isinstance(other, str)
        return is_text and value != other and str(value).casefold() == str(other).casefold()

    paths = _paths_where(comparisons, is_mistake)
    return _hint(paths, one="differs", several="differ", rest=" only in upper and lower case")


def _boolean_hint(comparisons: Sequence[_Comparison], source_text: str) -> str:
    paths = _paths_where(comparisons, lambda value, other: isinstance(value, str) and isinstance(other, bool))
    advice = f"compare with a text, such as 'true', or `cast` to boolean on source {source_text}"
    rest = f", which never equals true or false; {advice}"
    return _hint(paths, one="is text", several="are text", rest=rest)


def _list_hint(comparisons: Sequence[_Comparison]) -> str:
    if any(isinstance(each.value, list) and isinstance(each.other, str | bool | int | float) for each in comparisons):
        return ": a list never equals a text or a number; write contains(LIST, VALUE)"
    return ""


def _number_hint(comparisons: Sequence[_Comparison], source_text: str) -> str:
    paths = _paths_where(
        comparisons, lambda value, other: is_number(other) and isinstance(value, str) and reads_as_number(value)
    )
    if not paths:
        return ""
    casts = ", ".join(f"{path}: number" for path in paths)
    advice = f"write to_number({paths[0]}), or `cast: {{{casts}}}` on source {source_text}"
    rest = f", which never equals or exceeds a number; {advice}"
    return _hint(paths, one="is text", several="are text", rest=rest)


def _contains_hint(condition: expressions.Expression, view: JsonObject) -> str:
    """Return the hint for a call of contains() that never finds anything."""
    for call in _calls(condition.tree, "contains"):
        where, what = (search(each, view) for each in call["children"])
        if isinstance(where, str) and not isinstance(what, str):
            return ": contains() takes first where to search, then the value: contains(data.tags, 'urgent')"
        if isinstance(where, list) and isinstance(what, str) and any(isinstance(item, dict) for item in where):
            return ": the items of the list are objects, which contain no text; write LIST[?FIELD == 'TEXT']"
    return ""


def _conversion_hint(comparisons: Sequence[_Comparison], condition: expressions.Expression, view: JsonObject) -> str:
    """Return the hint for a text that is compared with a number or given to to_number(), and is not one."""

    def is_mistake(value: Json, other: Json) -> bool:
        return is_number(other) and isinstance(value, str) and not reads_as_number(value)

    paths = _paths_where(comparisons, is_mistake)
    for call in _calls(condition.tree, "to_number"):
        [argument] = call["children"]
        is_text = is_path(argument) and isinstance(search(argument, view), str)
        if is_text and search(call, view) is None:  # to_number() also converts some texts that `cast` does not
            paths.append(path_text(argument))
    fault = "is text that is not written as a number, such as 12.50"
    rest = ", so neither `cast` nor to_number() converts it"
    return _hint(list(dict.fromkeys(paths)), one=fault, several=fault, rest=rest)


def _calls(node: "_TreeNode", name: str) -> Iterator["_TreeNode"]:
    """Yield the calls of a function on which the condition's result depends directly."""
    if node["type"] == "function_expression" and node["value"] == name:
        yield node
    if node["type"] in expressions.LOGICAL or node["type"] == "comparator":
        for child in node["children"]:
            yield from _calls(child, name)
