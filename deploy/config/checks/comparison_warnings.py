"""Warnings about comparisons in conditions that no number can meet."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from shared.casting import CASTS
from shared.expressions import Expression
from shared.jsontext import Json, to_json

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

_ORDERING: Final = frozenset({"lt", "lte", "gt", "gte"})
_EQUALITY: Final = frozenset({"eq", "ne"})
_FUNCTIONS_TO_NUMBERS: Final = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})


def comparison_rules(condition: str, numbers: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the condition's comparisons. `numbers` are the fields at its top that are numbers.

    JMESPath orders numbers only. Our library also orders two texts, character by character, which is right for dates.
    """
    for operator, one, other in _comparisons(Expression(condition).tree):
        if other["type"] != "literal":
            continue
        literal = other["value"]
        if operator in _ORDERING and isinstance(literal, str):
            if _reads_as_number(literal):
                yield (
                    f"compares with the text {literal!r}, but a number is never less than, equal to or more than a "
                    f"text, and texts compare character by character. Write `{literal}` in backticks, and "
                    "to_number(…) around a value that is sent as text"
                )
            elif not literal[:1].isdigit():  # dates, times and versions begin with a digit
                yield (
                    f"compares with the text {literal!r} character by character, and a number is never less or more "
                    "than a text. Write a number in backticks, or use `==` or `!=`"
                )
        elif operator in _ORDERING and not _is_number(literal):
            yield f"compares the order of values with `{to_json(literal)}`, which is no number: this is never true"
        elif (
            operator in _EQUALITY
            and isinstance(literal, str)
            and _reads_as_number(literal)
            and _makes_number(one, numbers)
        ):
            yield f"compares a number with the text {literal!r}: they are never equal. Write `{literal}` in backticks"


def _comparisons(node: "_TreeNode") -> "Iterator[tuple[str, _TreeNode, _TreeNode]]":
    """Yield the operator and the two sides of each comparison, in both orders."""
    if node["type"] == "comparator":
        left, right = node["children"]
        yield str(node["value"]), left, right
        yield str(node["value"]), right, left
    if node["type"] != "slice":  # its children are its numbers
        for child in node["children"]:
            yield from _comparisons(child)


def _makes_number(node: "_TreeNode", numbers: Collection[str]) -> bool:
    match node["type"]:
        case "literal":
            return _is_number(node["value"])
        case "function_expression":
            return node["value"] in _FUNCTIONS_TO_NUMBERS
    return node["type"] == "field" and node["value"] in numbers


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_as_number(text: str) -> bool:
    try:
        CASTS["number"](text)
    except ValueError:
        return False
    return True
