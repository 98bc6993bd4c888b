"""JMESPath, the language of `where` and of computed values: compiled and checked once.

https://jmespath.org/specification.html
"""

import re
from typing import TYPE_CHECKING, Final

import jmespath
from jmespath import exceptions
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult
from jmespath.visitor import Options

from shared import did_you_mean, errors, event
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jmespath.visitor import _TreeNode

MAX_CHARACTERS: Final = 4_096
MAX_JOINED_CHARACTERS: Final = 4 * 1024 * 1024
"""The longest text that join() may make."""
# Kinds of nodes of which only the first child reads the searched value. The others read what the first one found.
_LEADS_INSIDE: Final = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"}
)

_LITERALS: Final = frozenset({"true", "false", "null"})
# For each word or sign of other languages that JMESPath does not have, what to write instead.
_REPLACEMENTS: Final = {
    "=": "`==` compares",
    "in": "contains(LIST, VALUE) is in",
    "is": "`==` compares",
    "like": "starts_with(), ends_with() and contains() compare parts of a text",
    "=~": "there are no regular expressions; use starts_with(), ends_with() or contains()",
    "===": "`==` compares",
    "?": "there is no `a ? b : c`; use `||` and `&&`",
    "and": "`&&` is and",
    "or": "`||` is or",
    "not": "`!` is not",
    "$": "a path begins without $, as in data.plan",
    "-": 'write a name with other characters in double quotes, as in data."first-name"',
}


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

    def __init__(self, text: str, names: "Collection[str]" = ()) -> None:
        """Compile the text; `names` are the keys of the value that it will search, if they are known.

        Raises ExpressionFault if it does not parse, calls a function that JMESPath lacks, or reads a key that is not
        in `names`.
        """
        self.text = text
        self._parsed = _compile(text)
        self._names = names_of_path(self._parsed.parsed)
        unknown = root_names(self._parsed.parsed).difference(names) if names else set[str]()
        if unknown:
            name = min(unknown)
            reason = f"there is no {name!r}; {_hint_on_name(name, text, names)}"
            raise ExpressionFault(f"{text!r}: {reason}", reason)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def search(self, value: Json) -> Json:
        """Return the result for this value; null if there is none. Raises Permanent (`expression_failed`), whose detail
        does not quote the value."""
        if self._names is None:
            return search_parsed(self._parsed, value, self.text)
        # Most expressions are paths, and this takes a fifth of the time that jmespath takes for one.
        for name in self._names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    @property
    def is_path(self) -> bool:
        """Return whether it is only names with full stops between them, such as `data.customer.name`."""
        return self._names is not None

    @property
    def tree(self) -> "_TreeNode":
        """Return the parsed expression, as jmespath keeps it."""
        return self._parsed.parsed

    @property
    def is_constant(self) -> bool:
        """Return whether its result is the same for every value."""
        return not _reads_value(self._parsed.parsed)


def search_parsed(parsed: ParsedResult, value: Json, text: str = "") -> Json:
    """Return the expression's result for `value`. Raises Permanent (`expression_failed`), which names it by `text`."""
    try:
        found: Json = parsed.search(value, _OPTIONS)
    except exceptions.JMESPathError as error:
        raise errors.Permanent("expression_failed", f"{text!r}: {_reason(error)}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        # jmespath lets Python's own errors through: ceil() of infinity, a slice step of zero, `1` in a text.
        if isinstance(error, TypeError):
            reason = "it compares or sorts values of different kinds"
        else:
            reason = "it has no result for these values"
        raise errors.Permanent("expression_failed", f"{text!r}: {reason}") from error
    return found


def over_event(text: str) -> Expression:
    """Return the expression over an event as steps and routes see it. Raises ExpressionFault."""
    return Expression(text, event.NAMES)


def is_true(value: Json) -> bool:
    """Return JMESPath's truth value: false, null and empty values are false; zero is true."""
    return value is not None and value is not False and value not in ("", [], {})


def _compile(text: str) -> ParsedResult:
    if len(text) > MAX_CHARACTERS:
        raise ExpressionFault(f"an expression has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    try:
        parsed = jmespath.compile(text)
        _verify_functions(parsed.parsed)
    except exceptions.JMESPathError as error:
        reason = _syntax(error, text)
        raise ExpressionFault(f"{text!r} is not JMESPath: {reason}", reason) from error
    except RecursionError as error:
        raise ExpressionFault("the expression is nested too deeply") from error
    return parsed


def names_of_path(node: "_TreeNode") -> "tuple[str, ...] | None":
    """Return the names in an expression that is a plain path: `data`, `customer` and `name` of `data.customer.name`.

    Return None for any other expression.
    """
    fields = node["children"] if node["type"] == "subexpression" else [node]
    if any(field["type"] != "field" for field in fields):
        return None
    return tuple([field["value"] for field in fields])


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
        raise ExpressionFault(f"JMESPath has no function {name!r}{_hint_on_function(name, table)}")
    expected = len(table[name]["signature"])
    variadic = any("variadic" in argument for argument in table[name]["signature"])
    if arguments < expected or (arguments > expected and not variadic):
        at_least = "at least " if variadic else ""
        raise ExpressionFault(f"{name}() takes {at_least}{expected} arguments; found {arguments}")


def root_names(node: "_TreeNode") -> set[str]:
    """Return the names that the expression reads in the searched value itself: only `data` of `data.items[*].price`."""
    if node["type"] == "field":
        return {node["value"]}
    if node["type"] == "expref":  # an argument such as `&price`, which a function applies to items of a list
        return set()
    inner = _inner(node)
    if node["type"] in _LEADS_INSIDE:
        inner = inner[:1]
    return set[str]().union(*map(root_names, inner))


def _reads_value(node: "_TreeNode") -> bool:
    if node["type"] in {"field", "current"}:
        return True
    return any(map(_reads_value, _inner(node)))


def _syntax(error: exceptions.JMESPathError, text: str) -> str:
    if isinstance(error, exceptions.EmptyExpressionError):
        return "it is empty"
    if isinstance(error, exceptions.IncompleteExpressionError):
        return "it ends too early"
    if isinstance(error, exceptions.LexerError):
        if error.message.startswith("Unknown token"):
            return _at(error.lexer_position + 1, text[error.lexer_position], text)
        return f"column {error.lexer_position + 1}: {error.message}"
    if isinstance(error, exceptions.ParseError):
        return _at(error.lex_position + 1, error.token_value, text)
    return type(error).__name__


def _at(column: int, token: object, text: str) -> str:
    return f"column {column}: {token!r} is not expected there{_hint_on_token(token, text, column)}"


def _reason(error: exceptions.JMESPathError) -> str:
    if isinstance(error, exceptions.JMESPathTypeError):
        takes = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {takes}; found {error.actual_type}"
    return str(error) if isinstance(error, exceptions.ArityError) else type(error).__name__


def _hint_on_name(name: str, text: str, known: "Collection[str]") -> str:
    if name in _LITERALS:
        return f"`{name}`, in backticks, is the value"
    if f'"{name}"' in text:
        return f"write text in single quotes: '{name}'"
    hint = did_you_mean.unknown_name_hint(name, text, known)
    if re.search(rf"(?:[=!<>]=?|[:,(])\s*{re.escape(name)}\s*(?:[,)\]}}|&]|$)", text):  # where a text may be meant
        return f"text is in single quotes: '{name}'; or {hint}"
    return hint


def _hint_on_token(token: object, text: str, column: int) -> str:
    if isinstance(token, int | float):
        return f"; write a number in backticks: `{token}`"
    owner = re.search(r"(\S*)\[$", text[: column - 1])
    if owner and text[column - 1] == "'":
        return f'; write a name with other characters in double quotes: {owner[1]}."{token}"'
    if text.lstrip().startswith("{{"):
        return "; write an expression without {{ }}"
    operator = re.match(r"=~|===", text[column - 1 :])
    if operator:
        return f"; {_REPLACEMENTS[operator[0]]}"
    # At `not a` the parser stops at `a`, but the word that it did not understand is the one before.
    replacement = _REPLACEMENTS.get(str(token)) or _REPLACEMENTS.get(_word_before(text, column))
    return f"; {replacement}" if replacement else ""


_FUNCTIONS_ELSEWHERE: Final = {
    **dict.fromkeys(("len", "size", "count"), "length"),
    **dict.fromkeys(("includes", "has", "in"), "contains"),
    **dict.fromkeys(("concat", "format"), "join"),
    **dict.fromkeys(("int", "number", "float"), "to_number"),
    **dict.fromkeys(("str", "string", "toString"), "to_string"),
}
_TEXT_FUNCTIONS: Final = re.compile(
    r"(?:to_?)?(?:lower|upper)(?:_?case)?|trim|split|replace|substr(?:ing)?|match(?:es)?|regex|test", re.IGNORECASE
)
"""Functions of other languages that change or match parts of a text."""


def _hint_on_function(name: str, known: "Collection[str]") -> str:
    if _TEXT_FUNCTIONS.fullmatch(name):
        return ", and none that changes or matches parts of a text; the step `template` can change a text first"
    near = _FUNCTIONS_ELSEWHERE.get(name) or did_you_mean.nearest(name, known)
    return f"; did you mean {near}()?" if near else ""


def _word_before(text: str, column: int) -> str:
    words = text[: column - 1].split()
    return words[-1] if words else ""
