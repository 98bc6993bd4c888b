"""Find what templates, conditions and JSON Schemas say and rarely mean, wherever they are in a configuration.

Each public function yields texts for the operator, as warnings.py does, without the place.
"""

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from shared.casting import is_number, reads_as_number
from shared.did_you_mean import nearest
from shared.expressions import Expression, names_of_path
from shared.jsontext import Json, to_json

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

_SINGLE_BRACES: Final = re.compile(r"(?<!\{)\$?\{\s*(data(?:\.\w+|\[\d+\])+)\s*\}(?!\})")
_DOLLAR: Final = re.compile(r"\$(\{\{.*?\}\})", re.DOTALL)
"""A `$` before a placeholder, as in `${{ data.name }}`, which is the syntax of other products."""
_LIKE_MONEY: Final = re.compile(
    r"amount|balance|charge|cost|dollar|fee|paid|payment|price|refund|revenue|tax|total|usd|format|round|[*/]",
    re.IGNORECASE,
)
"""In a placeholder, a sign that the `$` before it is meant as a dollar sign."""
_BARE_PATH: Final = re.compile(r"data(?:\.\w+|\[\d+\])+")


def template_texts(value: str, *, is_template: bool) -> Iterator[str]:
    """Yield the paths of the event that the value has without the braces of Jinja, and a `$` that Jinja does not need.

    `is_template`: the value is rendered as a template. In any other setting, a bare path may be read as a path.
    """
    for found in dict.fromkeys(_SINGLE_BRACES.findall(value)):
        yield f"has {found} in single braces, which stay as they are: write {{{{ {found} }}}}"
    if found := next((each for each in _DOLLAR.findall(value) if not _LIKE_MONEY.search(each)), None):
        yield f"has `$` before {found}, which stays as text: take it out, unless it is meant as a dollar sign"
    if is_template and _BARE_PATH.fullmatch(value.strip()):
        yield f"is the text {value.strip()!r} itself: to fill in the value, write {{{{ {value.strip()} }}}}"


_EQUALITY: Final = frozenset({"eq", "ne"})
_FUNCTIONS_TO_NUMBERS: Final = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})


def comparison_texts(condition: str, numbers: Collection[str]) -> Iterator[str]:
    """Yield the problems of the condition's comparisons. `numbers` are the fields at its top that are numbers."""
    tree = Expression(condition).tree
    for name in _negated_before_a_path(tree):
        yield f"negates {name} alone, before the path goes on, which finds nothing: write !(…) around the whole path"
    for operator, value, other in _comparisons(tree):
        if other["type"] == "literal":
            yield from _literal_texts(operator, other["value"], compares_number=_makes_number(value, numbers))


def _literal_texts(operator: str, literal: Json, *, compares_number: bool) -> Iterator[str]:
    """Yield why the comparison of a value with the literal is never true. `compares_number`: the value is surely one.

    JMESPath orders numbers only. Our library also orders two texts, character by character, which is right for dates.
    """
    if operator in _EQUALITY:
        if compares_number and isinstance(literal, str) and reads_as_number(literal):
            yield f"compares a number with the text {literal!r}: they are never equal. Write `{literal}` in backticks"
    elif not isinstance(literal, str):
        if not is_number(literal):
            yield f"compares the order of values with `{to_json(literal)}`, which is no number: this is never true"
    elif reads_as_number(literal):
        yield (
            f"compares with the text {literal!r}, but a number is never less than, equal to or more than a text, and "
            f"texts compare character by character. Write `{literal}` in backticks, and to_number(…) around a value "
            "that is sent as text"
        )
    elif not literal[:1].isdigit():  # dates, times and versions begin with a digit
        yield (
            f"compares with the text {literal!r} character by character, and a number is never less or more than a "
            "text. Write a number in backticks, or use `==` or `!=`"
        )


def _negated_before_a_path(node: "_TreeNode") -> "Iterator[str]":
    """Yield the negated part of each `!data.paid`, which JMESPath reads as `(!data).paid`."""
    if node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression":
        names = names_of_path(node["children"][0]["children"][0])
        yield ".".join(names) if names else "a part"
    if node["type"] != "slice":
        for child in node["children"]:
            yield from _negated_before_a_path(child)


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
            return is_number(node["value"])
        case "function_expression":
            return node["value"] in _FUNCTIONS_TO_NUMBERS
    return node["type"] == "field" and node["value"] in numbers


def keyword_texts(schema: Json) -> Iterator[str]:
    """Yield the keys of a JSON Schema that are nearly a keyword, because a validator ignores unknown keys."""
    if not isinstance(schema, dict):
        return
    from referencing.jsonschema import DRAFT202012

    known = _keywords()
    waiting = [DRAFT202012.create_resource(schema)]
    for resource in waiting:  # which grows
        waiting.extend(resource.subresources())
        for key in resource.contents if isinstance(resource.contents, dict) else ():
            if key not in known and (near := nearest(key, known)):
                yield f"the schema's {key!r} is not a keyword and has no effect; did you mean {near!r}?"


_VOCABULARIES: Final = "https://json-schema.org/draft/2020-12/"


def _keywords() -> frozenset[str]:
    """Return the keywords that the specification's own schemas describe."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # it has no stubs

    described: list[Json] = [REGISTRY.contents(uri) for uri in REGISTRY if uri.startswith(_VOCABULARIES)]
    properties = [schema["properties"] for schema in described if isinstance(schema, dict)]
    return frozenset(name for each in properties if isinstance(each, dict) for name in each)
