"""JMESPath, the language of `where` and of computed values: compiled and checked once.

https://jmespath.org/specification.html
"""

from typing import TYPE_CHECKING, Final

import jmespath
from jmespath import exceptions
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult
from jmespath.visitor import Options

from shared import errors, event, expression_hints
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jmespath.visitor import _TreeNode

MAX_CHARACTERS: Final = 4_096
MAX_JOINED_CHARACTERS: Final = 4 * 1024 * 1024
"""The longest text that join() may make."""
PROJECTIONS: Final = frozenset({"projection", "value_projection", "filter_projection", "flatten"})
"""The kinds of nodes that go on with each item of a list, or with each value of an object."""
LEADS_INSIDE: Final = PROJECTIONS | {"subexpression", "index_expression", "pipe"}
"""The kinds of nodes of which only the first child reads the searched value. The others read what the first found."""
LOGICAL: Final = frozenset({"and_expression", "or_expression", "not_expression"})


class ExpressionFault(ValueError):
    """An expression that cannot be used: an error of the configuration. `reason` is the text without the expression."""

    def __init__(self, text: str, reason: str | None = None) -> None:
        super().__init__(text)
        self.reason = text if reason is None else reason


class _BoundedFunctions(Functions):
    """JMESPath's functions, with a bound on join().

    Without it, a long separator between many items, or one long text that many items name, would make a very long text
    of a short event.
    """

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: "Sequence[str]") -> str:
        if len(separator) * len(texts) + sum(map(len, texts)) > MAX_JOINED_CHARACTERS:
            raise OverflowError
        return separator.join(texts)


_OPTIONS: Final = Options(custom_functions=_BoundedFunctions())


class Expression:
    """One JMESPath expression, such as `data.plan == 'gold' && data.paid`."""

    def __init__(self, text: str, known_keys: "Collection[str] | None" = None) -> None:
        """Compile the text. `known_keys` are the keys of the value that it will search, if they are known.

        Raises ExpressionFault if it does not parse, calls a function that JMESPath lacks, or reads a key that is not
        in `known_keys`.
        """
        self.text = text
        self._parsed = _compile(text)
        self._path_names = names_of_path(self._parsed.parsed)
        if known_keys is not None and (unknown := root_names(self._parsed.parsed).difference(known_keys)):
            name = min(unknown)
            reason = f"there is no {name!r}; {expression_hints.name_hint(name, text, known_keys)}"
            raise ExpressionFault(f"{text!r}: {reason}", reason)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def search(self, value: Json) -> Json:
        """Return the result for this value; null if there is none. Raises Permanent (`expression_failed`), whose detail
        does not quote the value."""
        if self._path_names is None:
            return search_parsed(self._parsed, value, self.text)
        # Most expressions are paths, and this takes a fifth of the time that jmespath takes for one.
        for name in self._path_names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    @property
    def is_path(self) -> bool:
        """Return whether it is only names with full stops between them, such as `data.customer.name`."""
        return self._path_names is not None

    @property
    def tree(self) -> "_TreeNode":
        """Return the parsed expression, as jmespath keeps it."""
        return self._parsed.parsed

    @property
    def is_constant(self) -> bool:
        """Return whether its result is the same for every value."""
        return not _reads_value(self._parsed.parsed)


def over_event(text: str) -> Expression:
    """Return the expression over an event as steps and routes see it. Raises ExpressionFault."""
    return Expression(text, event.NAMES)


def is_true(value: Json) -> bool:
    """Return JMESPath's truth value: false, null and empty values are false; zero is true."""
    return value is not None and value is not False and value not in ("", [], {})


def search_parsed(parsed: ParsedResult, value: Json, text: str = "") -> Json:
    """Return the expression's result for `value`. Raises Permanent (`expression_failed`), which names it by `text`."""
    try:
        found: Json = parsed.search(value, _OPTIONS)
    except exceptions.JMESPathError as error:
        raise errors.Permanent("expression_failed", f"{text!r}: {expression_hints.search_fault(error)}") from error
    # jmespath lets Python's own errors through: ceil() of infinity, a slice step of zero, `1` in a text.
    except TypeError as error:
        rule = "it compares or sorts values of different kinds"
        raise errors.Permanent("expression_failed", f"{text!r}: {rule}") from error
    except (ArithmeticError, LookupError, ValueError, RecursionError) as error:
        raise errors.Permanent("expression_failed", f"{text!r}: it has no result for these values") from error
    return found


def names_of_path(node: "_TreeNode") -> "tuple[str, ...] | None":
    """Return the names in an expression that is a plain path: `data`, `customer` and `name` of `data.customer.name`.

    Return None for any other expression.
    """
    fields = node["children"] if node["type"] == "subexpression" else [node]
    if any(field["type"] != "field" for field in fields):
        return None
    return tuple([field["value"] for field in fields])


def root_names(node: "_TreeNode") -> set[str]:
    """Return the names that the expression reads in the searched value itself: only `data` of `data.items[*].price`."""
    if node["type"] == "field":
        return {node["value"]}
    if node["type"] == "expref":  # an argument such as `&price`, which a function applies to items of a list
        return set()
    inner = _inner(node)
    if node["type"] in LEADS_INSIDE:
        inner = inner[:1]
    return set[str]().union(*map(root_names, inner))


def _compile(text: str) -> ParsedResult:
    if len(text) > MAX_CHARACTERS:
        raise ExpressionFault(f"an expression has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    try:
        parsed = jmespath.compile(text)
        _verify_functions(parsed.parsed)
    except exceptions.JMESPathError as error:
        reason = expression_hints.syntax_fault(error, text)
        raise ExpressionFault(f"{text!r} is not JMESPath: {reason}", reason) from error
    except RecursionError as error:
        raise ExpressionFault("the expression is nested too deeply") from error
    return parsed


def _verify_functions(node: "_TreeNode") -> None:
    """Raise ExpressionFault for an unknown function, or for a wrong number of arguments.

    jmespath itself would report these only when it searches a value.
    """
    if node["type"] == "function_expression":
        _verify_call(node["value"], len(node["children"]))
    for child in _inner(node):
        _verify_functions(child)


def _inner(node: "_TreeNode") -> "Sequence[_TreeNode]":
    """Return the expressions within this one. A slice has none: its children are its numbers."""
    return () if node["type"] == "slice" else node["children"]


def _verify_call(name: str, arguments: int) -> None:
    table: Mapping[str, Mapping[str, Sequence[JsonObject]]] = Functions.FUNCTION_TABLE
    if name not in table:
        raise ExpressionFault(f"JMESPath has no function {name!r}{expression_hints.function_hint(name, table)}")
    expected = len(table[name]["signature"])
    variadic = any("variadic" in argument for argument in table[name]["signature"])
    if arguments < expected or (arguments > expected and not variadic):
        at_least = "at least " if variadic else ""
        raise ExpressionFault(f"{name}() takes {at_least}{expected} arguments; found {arguments}")


def _reads_value(node: "_TreeNode") -> bool:
    if node["type"] in {"field", "current"}:
        return True
    return any(map(_reads_value, _inner(node)))
