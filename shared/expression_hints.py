"""What was likely meant by an expression that is no JMESPath, or that names what is not there."""

from collections.abc import Collection
from typing import Final

from shared.did_you_mean import nearest

_LITERALS: Final = frozenset({"true", "false", "null"})
_MEANT: Final = {
    "=": "`==` compares",
    "and": "`&&` is and",
    "or": "`||` is or",
    "not": "`!` is not",
    "-": 'a name with other characters stands in double quotes, as in data."first-name"',
}


def hint_on_name(name: str, text: str, known: Collection[str]) -> str:
    """On a name that is not among those that the expression `text` can look up."""
    if name in _LITERALS:
        return f"`{name}`, in backticks, is the value"
    if f'"{name}"' in text:
        return f"a text stands in single quotes: '{name}'"
    near = nearest(name, known) or (f"data.{name}" if "data" in known else None)
    there_are = f"there are {', '.join(sorted(known))}"
    return f"did you mean {near!r}? T{there_are[1:]}" if near else there_are


def hint_on_token(token: object, text: str, column: int) -> str:
    """On what cannot stand in that column, which counts from 1."""
    if isinstance(token, int | float):
        return f"; a number stands in backticks: `{token}`"
    meant = _MEANT.get(str(token)) or _MEANT.get(text[: column - 1].rpartition(" ")[2] or _word_before(text, column))
    return f"; {meant}" if meant else ""


def hint_on_function(name: str, known: Collection[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near}()?" if near else ""


def _word_before(text: str, column: int) -> str:
    words = text[: column - 1].split()
    return words[-1] if words else ""
