"""JMESPath, the language of `where` and of computed values: compiled once, checked when it is compiled.

https://jmespath.org/specification.html
"""

from typing import TYPE_CHECKING, Final

import jmespath
from jmespath.exceptions import (
    ArityError,
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
    LexerError,
    ParseError,
)
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult
from jmespath.visitor import Options

from shared.errors import Permanent
from shared.expression_hints import hint_on_function, hint_on_name, hint_on_token
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jmespath.visitor import _TreeNode

MAX_CHARACTERS: Final = 4_096
MAX_JOINED_CHARACTERS: Final = 4 * 1024 * 1024
# Of these only the first part looks at the searched value; the others at what the first one found.
_LEADS_INSIDE: Final = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"}
)


class ExpressionFault(ValueError):
    """The expression itself is at fault: refused when the configuration is loaded."""


class _BoundedFunctions(Functions):
    """join() is the one that makes much of little: a long separator, from the event as well, between many items."""

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: "Sequence[str]") -> str:
        if len(separator) * len(texts) > MAX_JOINED_CHARACTERS:
            raise OverflowError
        return separator.join(texts)


_OPTIONS: Final = Options(custom_functions=_BoundedFunctions())


class Expression:
    """One JMESPath expression."""

    def __init__(self, text: str, names: "Collection[str]" = ()) -> None:
        """`names` are the keys of what it will search, where that is known.

        Raises ExpressionFault for what does not parse, for a function that JMESPath does not have, and for a name that
        can never be there.
        """
        self.text = text
        self._parsed = _parsed(text)
        for name in sorted(root_names(self._parsed.parsed)) if names else ():
            if name not in names:
                raise ExpressionFault(f"{text!r}: there is no {name!r}; {hint_on_name(name, text, names)}")

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def search(self, value: Json) -> Json:
        """Null where there is nothing. Raises Permanent (`expression`), whose detail holds no part of `value`."""
        return search_parsed(self._parsed, value, self.text)

    @property
    def tree(self) -> "_TreeNode":
        """Return the parsed expression, as jmespath keeps it."""
        return self._parsed.parsed

    @property
    def is_constant(self) -> bool:
        """Whether it finds the same in whatever it searches."""
        return not _looks(self._parsed.parsed)


def search_parsed(parsed: ParsedResult, value: Json, text: str = "") -> Json:
    """Return what the expression finds in `value`; `text` names it. Raises Permanent (`expression`)."""
    try:
        found: Json = parsed.search(value, _OPTIONS)
    except JMESPathError as error:
        raise Permanent("expression", f"{text!r}: {_reason(error)}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        # jmespath lets Python's own errors through: ceil() of infinity, a slice step of zero, `1` in a text.
        why = "it compares or sorts values of different kinds" if isinstance(error, TypeError) else type(error).__name__
        raise Permanent("expression", f"{text!r}: {why}") from error
    return found


def is_true(value: Json) -> bool:
    """JMESPath's own rule: false, null and what is empty are false. Zero is true."""
    return value is not None and value is not False and value not in ("", [], {})


def kind_of(value: Json) -> str:
    """What a message says of a value in place of the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def _parsed(text: str) -> ParsedResult:
    if len(text) > MAX_CHARACTERS:
        raise ExpressionFault(f"an expression has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    try:
        parsed = jmespath.compile(text)
        _verify_functions(parsed.parsed)
    except JMESPathError as error:
        raise ExpressionFault(f"{text!r} is not JMESPath: {_syntax(error, text)}") from error
    except RecursionError as error:
        raise ExpressionFault("the expression is nested too deeply") from error
    return parsed


def _verify_functions(node: "_TreeNode") -> None:
    """jmespath itself finds an unknown function only when an event comes."""
    if node["type"] == "function_expression":
        _verify_call(node["value"], len(node["children"]))
    for child in node["children"]:
        if isinstance(child, dict):  # a slice's children are its numbers
            _verify_functions(child)


def _verify_call(name: str, arguments: int) -> None:
    table: Mapping[str, Mapping[str, Sequence[JsonObject]]] = Functions.FUNCTION_TABLE
    if name not in table:
        raise ExpressionFault(f"JMESPath has no function {name!r}{hint_on_function(name, table)}")
    expected = len(table[name]["signature"])
    variadic = any("variadic" in argument for argument in table[name]["signature"])
    if arguments < expected or (arguments > expected and not variadic):
        at_least = "at least " if variadic else ""
        raise ExpressionFault(f"{name}() takes {at_least}{expected} arguments; found {arguments}")


def root_names(node: "_TreeNode") -> set[str]:
    """The names that are looked up in the searched value itself, and not in what was found there."""
    match node["type"]:
        case "field":
            return {node["value"]}
        case "expref":  # for a function to look with inside of something else
            return set()
        case "slice":  # whose children are its numbers
            return set()
    inner = node["children"][:1] if node["type"] in _LEADS_INSIDE else node["children"]
    return set[str]().union(*map(root_names, inner))


def _looks(node: "_TreeNode") -> bool:
    if node["type"] in {"field", "current"}:
        return True
    return node["type"] != "slice" and any(map(_looks, node["children"]))  # a slice's children are its numbers


def _syntax(error: JMESPathError, text: str) -> str:
    if isinstance(error, EmptyExpressionError):
        return "it is empty"
    if isinstance(error, IncompleteExpressionError):
        return "it ends too early"
    if isinstance(error, LexerError):
        if error.message.startswith("Unknown token"):
            return _at(error.lexer_position + 1, text[error.lexer_position], text)
        return f"column {error.lexer_position + 1}: {error.message}"
    if isinstance(error, ParseError):
        return _at(error.lex_position + 1, error.token_value, text)
    return type(error).__name__


def _at(column: int, token: object, text: str) -> str:
    return f"column {column}: {token!r} cannot stand there{hint_on_token(token, text, column)}"


def _reason(error: JMESPathError) -> str:
    if isinstance(error, JMESPathTypeError):
        takes = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {takes}; found {error.actual_type}"
    return str(error) if isinstance(error, ArityError) else type(error).__name__
