"""What a YAML scalar means by the 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

So `yes` and `on` are strings, `0o17` is octal and `017` is seventeen, and there are no times.
"""

import re
from typing import Final

from shared.errors import Rejected
from shared.formats.numbers import finite, integer
from shared.jsontext import Json
from shared.limits import Limits

PREFIX: Final = "tag:yaml.org,2002:"

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST_OF_NUMBER: Final = frozenset("+-.0123456789")
_NUMBER: Final = re.compile(
    r"(?P<decimal>[-+]?[0-9]++)"
    r"|0o(?P<octal>[0-7]++)"
    r"|0x(?P<hexadecimal>[0-9a-fA-F]++)"
    r"|(?P<real>[-+]?(?:\.[0-9]++|[0-9]++(?:\.[0-9]*+)?)(?:[eE][-+]?[0-9]++)?)"
    r"|(?P<not_finite>[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_BASES: Final = {"decimal": 10, "octal": 8, "hexadecimal": 16}


def plain_scalar(text: str, limits: Limits) -> Json:
    """Of a scalar without quotes and tag. Raises Rejected (`num`)."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text, limits) if text[0] in _FIRST_OF_NUMBER else text


def tagged_scalar(tag: str, text: str, limits: Limits) -> Json:
    """Raises Rejected (`tag`, `num`)."""
    kind = tag.removeprefix(PREFIX)
    value = text if kind in ("!", "str") else plain_scalar(text, limits)
    if kind == "float" and type(value) is int:
        value = finite(text)
    if type(value).__name__ != {"!": "str", "null": "NoneType"}.get(kind, kind):
        raise Rejected("tag", "YAML tags are those of the core schema, on values that fit them")
    return value


def _number(text: str, limits: Limits) -> Json:
    found = _NUMBER.fullmatch(text)
    if found is None or found.lastgroup is None:
        return text
    if found.lastgroup in _BASES:
        return integer(found[found.lastgroup], _BASES[found.lastgroup], limits)
    if found.lastgroup == "not_finite":
        raise Rejected("num", "JSON has neither infinity nor NaN")
    return finite(text)
