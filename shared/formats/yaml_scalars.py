"""The scalars of YAML: how the core schema of YAML 1.2 reads `12`, `0x1F`, `~`, `true` or `!!str 12`.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from typing import Final

from shared.errors import Rejected
from shared.jsontext import Json
from shared.limits import Limits, finite, integer

CORE_TAG: Final = "tag:yaml.org,2002:"
"""The beginning of the core schema's tags, which YAML writes `!!`."""

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST_OF_NUMBER: Final = frozenset("+-.0123456789")
"""A look at the first character spares most scalars the regular expression, which takes longer."""
_NUMBER: Final = re.compile(
    r"(?P<decimal>[-+]?[0-9]++)"
    r"|0o(?P<octal>[0-7]++)"
    r"|0x(?P<hexadecimal>[0-9a-fA-F]++)"
    r"|(?P<real>[-+]?(?:\.[0-9]++|[0-9]++(?:\.[0-9]*+)?)(?:[eE][-+]?[0-9]++)?)"
    r"|(?P<not_finite>[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_BASES: Final = {"decimal": 10, "octal": 8, "hexadecimal": 16}

_TYPES: Final = {"null": type(None), "bool": bool, "int": int, "float": float}


def plain_scalar(text: str, limits: Limits) -> Json:
    """Return the value of a scalar that has neither quotes nor a tag. Raises Rejected (`number_out_of_range`)."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text, limits) if text[0] in _FIRST_OF_NUMBER else text  # an empty text is one of the words


def tagged_scalar(tag: str, text: str, limits: Limits) -> Json:
    """Return the value of a scalar with a tag, quoted or not. Raises Rejected (`tag_not_allowed`,
    `number_out_of_range`)."""
    kind = tag.removeprefix(CORE_TAG)
    if kind in {"!", "str"}:
        return text
    value = plain_scalar(text, limits)
    is_decimal_integer = type(value) is int and text.lstrip("+-").isdecimal()
    if kind == "float" and is_decimal_integer:  # `!!float 1` is a float; `!!float 0x1F` is not
        value = finite(text)
    if kind not in _TYPES or type(value) is not _TYPES[kind]:
        raise tag_not_allowed()
    return value


def tag_not_allowed() -> Rejected:
    return Rejected("tag_not_allowed", "YAML tags are those of the core schema, on values that fit them")


def _number(text: str, limits: Limits) -> Json:
    """Return the number that the text is, or the text if it is none. Raises Rejected (`number_out_of_range`)."""
    number = _NUMBER.fullmatch(text)
    if number is None or number.lastgroup is None:
        return text
    kind = number.lastgroup
    if kind in _BASES:
        return integer(number[kind], _BASES[kind], limits)
    if kind == "not_finite":
        raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
    return finite(text)
