"""The texts of faults of JMESPath expressions, with hints for those who write them as in another language."""

import re
from typing import TYPE_CHECKING, Final

from jmespath import exceptions

from shared import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection

_LITERALS: Final = frozenset({"true", "false", "null"})
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
"""Hints on words and signs of other languages that JMESPath does not have: what to write instead."""
_FUNCTIONS_ELSEWHERE: Final = {
    **dict.fromkeys(("len", "size", "count"), "length"),
    **dict.fromkeys(("includes", "has", "in"), "contains"),
    **dict.fromkeys(("concat", "format"), "join"),
    **dict.fromkeys(("int", "number", "float"), "to_number"),
    **dict.fromkeys(("str", "string", "toString"), "to_string"),
}
"""JMESPath's function for each function of other languages."""
_TEXT_FUNCTIONS_ELSEWHERE: Final = re.compile(
    r"(?:to_?)?(?:lower|upper)(?:_?case)?|trim|split|replace|substr(?:ing)?|match(?:es)?|regex|test", re.IGNORECASE
)
"""Functions of other languages that change or match parts of a text."""


def syntax_fault(error: exceptions.JMESPathError, text: str) -> str:
    """Return why the text is no expression, and where."""
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


def search_fault(error: exceptions.JMESPathError) -> str:
    """Return why an expression has no result for a value, without the value."""
    if isinstance(error, exceptions.JMESPathTypeError):
        takes = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {takes}; found {error.actual_type}"
    return str(error) if isinstance(error, exceptions.ArityError) else type(error).__name__


def name_hint(name: str, text: str, known: "Collection[str]") -> str:
    """Return what to write in place of a name that the searched value does not have, and the known names."""
    if name in _LITERALS:
        return f"`{name}`, in backticks, is the value"
    if f'"{name}"' in text:
        return f"write text in single quotes: '{name}'"
    hint = did_you_mean.unknown_name_hint(name, text, known)
    if re.search(rf"(?:[=!<>]=?|[:,(])\s*{re.escape(name)}\s*(?:[,)\]}}|&]|$)", text):  # where a text may be meant
        return f"text is in single quotes: '{name}'; or {hint}"
    return hint


def function_hint(name: str, known: "Collection[str]") -> str:
    """Return how the sentence "JMESPath has no function NAME" goes on; empty if no known function is near."""
    if _TEXT_FUNCTIONS_ELSEWHERE.fullmatch(name):
        return ", and none that changes or matches parts of a text; the step `template` can change a text first"
    near = _FUNCTIONS_ELSEWHERE.get(name) or did_you_mean.nearest(name, known)
    return f"; did you mean {near}()?" if near else ""


def _at(column: int, token: object, text: str) -> str:
    return f"column {column}: {token!r} is not expected there{_hint_on_token(token, text, column)}"


def _hint_on_token(token: object, text: str, column: int) -> str:
    """Return a hint on the token at the column, which counts from 1, as the end of a sentence; empty if there is none.

    The text is in another language, or is not quoted as JMESPath has it.
    """
    before, rest = text[: column - 1], text[column - 1 :]
    if isinstance(token, int | float):
        return f"; write a number in backticks: `{token}`"
    owner = re.search(r"(\S*)\[$", before)
    if owner and rest.startswith("'"):  # data['first-name']
        return f'; write a name with other characters in double quotes: {owner[1]}."{token}"'
    if text.lstrip().startswith("{{"):
        return "; write an expression without {{ }}"
    operator = re.match(r"=~|===", rest)  # the token is only the operator's first character
    if operator:
        return f"; {_REPLACEMENTS[operator[0]]}"
    # At `not a` the parser stops at `a`, but the word that it did not understand is the one before.
    last_words = before.split()[-1:]
    replacement = next((_REPLACEMENTS[word] for word in (str(token), *last_words) if word in _REPLACEMENTS), "")
    return f"; {replacement}" if replacement else ""
