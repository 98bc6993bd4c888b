"""The choice of endpoints for an event: globs over its type, and a filter over its content. Pure.

An endpoint with the glob `order.*` and the filter `data.country == 'DE'` gets the event `order.paid` from that country.
A filter is a JMESPath condition over `{id, type, timestamp, data}`. Tenants write globs and filters, so they may be
hostile: the time that each takes for an event is limited, and a filter can use only the part of JMESPath that makes no
values larger than the event's.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jmespath.functions import Functions
from jmespath.parser import ParsedResult
from jmespath.visitor import Options, TreeInterpreter

from shared.errors import Permanent
from shared.expressions import Expression, ExpressionFault, is_true, search_parsed
from shared.jsontext import Json, JsonObject
from shared.subscribers.model import Endpoint

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

MAX_FILTER_CHARACTERS: Final = 500
MAX_DEPTH: Final = 20
"""The most levels of a filter's tree. The interpreter calls itself for each level."""
MAX_STEPS: Final = 10_000
"""The most steps of a filter for an event. A visited node and a compared value are a step each."""
CHARACTERS_PER_STEP: Final = 100
"""Searching a text of this many characters, or reading it as a number, is a step."""
FILTER_NAMES: Final = ("id", "type", "timestamp", "data")
"""The names at the top of what a filter reads: see `filter_view`."""
FUNCTIONS: Final = frozenset(
    {
        "abs",
        "avg",
        "ceil",
        "contains",
        "ends_with",
        "floor",
        "keys",
        "length",
        "max",
        "min",
        "not_null",
        "starts_with",
        "sum",
        "to_number",
        "type",
        "values",
    }
)
"""The functions of JMESPath that a filter can use. None of them makes a value that is larger than its arguments."""
_READS_ALL: Final = frozenset({"avg", "keys", "max", "min", "sum", "values"})
"""The functions that read each item of a list or an object, each of which is a step."""
_READS_TEXT: Final = frozenset({"contains", "to_number"})
"""The functions that read a text, which takes a step for each CHARACTERS_PER_STEP."""
_NOT_ALLOWED: Final = {
    "multi_select_dict": "`{…}` that makes an object",
    "multi_select_list": "`[…]` that makes a list",
    "expref": "`&`",
}
"""The nodes of a filter's tree that a filter cannot have, as their author writes them."""


class FilterFailed(Exception):
    """A filter that failed for one event. Its text is for the tenant, and quotes nothing of the event."""


def type_matches(globs: Sequence[str], type_: str) -> bool:
    """Return whether one of the globs matches the type; True if there are no globs."""
    return not globs or any(_glob_matches(glob, type_) for glob in globs)


def _glob_matches(glob: str, type_: str) -> bool:
    """Return whether the glob matches the type. A `*` stands for any characters, also full stops."""
    if "*" not in glob:
        return glob == type_
    # Each piece between two stars is taken where it is found first, so no search is repeated.
    beginning, *pieces, end = glob.split("*")
    if not type_.startswith(beginning):
        return False
    position = len(beginning)
    for piece in pieces:
        found_at = type_.find(piece, position)
        if found_at < 0:
            return False
        position = found_at + len(piece)
    # The end must not overlap with the pieces before it.
    return len(type_) - position >= len(end) and type_.endswith(end)


def filter_view(id_: str, type_: str, timestamp: str, data: Json) -> JsonObject:
    """Return the document that a filter reads."""
    return {"id": id_, "type": type_, "timestamp": timestamp, "data": data}


def matches(endpoint: Endpoint, type_: str, view: JsonObject) -> bool:
    """Return whether the endpoint gets the event, by its globs and its filter. Raises FilterFailed."""
    if not type_matches(endpoint.types, type_):
        return False
    if not endpoint.filter:
        return True
    try:
        compiled = _compiled(endpoint.filter)
    except ExpressionFault as fault:  # it was saved under other rules
        raise FilterFailed(str(fault)) from fault
    return compiled.matches(view)


class Filter:
    """A tenant's condition, compiled."""

    def __init__(self, text: str, max_characters: int = MAX_FILTER_CHARACTERS) -> None:
        """Compile the condition. Raises ExpressionFault, a ValueError that states the rule."""
        if len(text) > max_characters:
            raise ExpressionFault(f"a filter has at most {max_characters} characters; this one has {len(text)}")
        try:
            expression = Expression(text, FILTER_NAMES)
        except ExpressionFault as fault:
            # Without the filter itself, which may contain a text that its author keeps secret.
            raise ExpressionFault(f"must be a JMESPath expression: {fault.reason}") from None
        _verify(expression.tree)
        self._text = text
        self._parsed = _BoundedResult(text, expression.tree)

    def matches(self, view: JsonObject) -> bool:
        """Return whether the condition is true. Raises FilterFailed."""
        try:
            return is_true(search_parsed(self._parsed, view, self._text))
        except Permanent as error:
            raise FilterFailed(error.detail) from error


_compiled: Final = lru_cache(maxsize=2_000)(Filter)


def _verify(root: "_TreeNode") -> None:
    """Raise ExpressionFault for a filter that is nested too deeply, or that uses more of JMESPath than it may.

    The tree is searched level by level, not by recursion, because it may be as deep as its text is long.
    """
    level: list[_TreeNode] = [root]
    for _ in range(MAX_DEPTH):
        for node in level:
            if node["type"] in _NOT_ALLOWED:
                construct = _NOT_ALLOWED[node["type"]]
                raise ExpressionFault(f"a filter has no {construct}; write a list of values in backticks: `[1, 2]`")
            if node["type"] == "function_expression" and node["value"] not in FUNCTIONS:
                raise ExpressionFault(f"a filter has no {node['value']}(); there are {', '.join(sorted(FUNCTIONS))}")
        # A slice's children are its numbers, not nodes.
        level = [child for node in level if node["type"] != "slice" for child in node["children"]]
        if not level:
            return
    raise ExpressionFault(
        f"a filter is at most {MAX_DEPTH} levels deep; for many alternatives write contains(`[1, 2]`, data.field)"
    )


class _BoundedResult(ParsedResult):
    """A parsed expression that is run by _BoundedInterpreter."""

    def search(self, value: Json, options: Options | None = None) -> Json:  # noqa: ARG002 as jmespath calls it
        result: Json = _BoundedInterpreter().visit(self.parsed, value)
        return result


class _BoundedFunctions(Functions):
    """The functions of JMESPath, which spend steps of the interpreter for what they read."""

    def __init__(self, interpreter: "_BoundedInterpreter") -> None:
        super().__init__()
        self._interpreter = interpreter

    def call_function(self, function_name: str, resolved_args: Iterable[Json]) -> Json:
        arguments = list(resolved_args)
        first = arguments[0] if arguments else None
        if function_name in _READS_ALL and isinstance(first, list | dict):
            self._interpreter.spend(len(first))
        if function_name in _READS_TEXT and isinstance(first, str):
            self._interpreter.spend(len(first) // CHARACTERS_PER_STEP)
        if function_name == "contains" and len(arguments) == 2 and isinstance(first, list):
            return any(self._interpreter.is_equal(item, arguments[1]) for item in first)
        result: Json = super().call_function(function_name, arguments)
        return result


class _BoundedInterpreter(TreeInterpreter):
    """An interpreter that counts its steps, and raises Permanent for too many."""

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_BoundedFunctions(self)))
        self._steps_left = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Count steps. Raises Permanent (`expression_failed`) once there were too many."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise Permanent("expression_failed", f"the filter takes more than {MAX_STEPS:,} steps for this event")

    # The library calls the methods below, each for one type of node.

    def visit(self, node: "_TreeNode", value: Json) -> Json:
        self.spend(1)
        result: Json = super().visit(node, value)
        return result

    def visit_comparator(self, node: "_TreeNode", value: Json) -> Json:
        # The library would compare two values without counting steps, however large they are.
        if node["value"] not in ("eq", "ne"):
            result: Json = super().visit_comparator(node, value)
            return result
        left, right = [self.visit(child, value) for child in node["children"]]
        return self.is_equal(left, right) is (node["value"] == "eq")

    def visit_flatten(self, node: "_TreeNode", value: Json) -> Json:
        result: Json = super().visit_flatten(node, value)
        return self._spent_on(result)

    def visit_slice(self, node: "_TreeNode", value: Json) -> Json:
        result: Json = super().visit_slice(node, value)
        return self._spent_on(result)

    def is_equal(self, left: Json, right: Json) -> bool:
        """Compare as JMESPath does: `1` is not `true`. Each value inside is a step."""
        self.spend(1)
        if isinstance(left, dict) and isinstance(right, dict):
            return len(left) == len(right) and all(
                key in right and self.is_equal(item, right[key]) for key, item in left.items()
            )
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(self.is_equal, left, right))
        return isinstance(left, bool) is isinstance(right, bool) and left == right

    def _spent_on(self, result: Json) -> Json:
        """Return the result, after a step for each of its items."""
        self.spend(len(result) if isinstance(result, list) else 0)
        return result
