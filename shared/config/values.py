"""Types that models of settings share: names, durations, secrets' names; and pydantic's errors in plain words."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import ErrorDetails

from shared.secrets import SECRET_NAME

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_SECONDS: Final = 3_650 * 86_400
"""Ten years: a time so far ahead is still a date."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


def _secret_name(text: str) -> str:
    if not SECRET_NAME.fullmatch(text):
        rule = "must be the name of a secret: a lower-case letter, then letters, digits and '-', at most 63 characters"
        raise ValueError(rule)
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        rule = "must be a name: letters, digits, '-' and '_', at most 63 characters, beginning with a letter or digit"
        raise ValueError(rule)
    return text


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise ValueError("must be the name of a header")
    return text.lower()


def duration_seconds(value: object) -> object:
    """Return `90`, `90s`, `5m`, `2h` or `1d` as seconds. Other types are returned unchanged, for pydantic to check."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    if found := _DURATION.fullmatch(value):
        return float(found[1]) * _UNIT_SECONDS[found[2]]
    raise ValueError("must be a number of seconds, or a duration such as 90s, 5m, 2h or 1d")


def listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Verbatim = Annotated[str, StringConstraints(strip_whitespace=False)]
"""Text whose leading and trailing white space counts, because it is compared or signed with what a sender wrote."""

SecretName = Annotated[str, AfterValidator(_secret_name)]
Name = Annotated[str, AfterValidator(_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Seconds = Annotated[float, BeforeValidator(duration_seconds), Field(ge=0, le=_MAX_SECONDS)]


_WORDS: Final = {
    "missing": "is missing",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}


def fault_text(detail: ErrorDetails) -> str:
    """Return the rule that a value breaks, such as `must be a mapping`."""
    if detail["type"] in {"too_short", "string_too_short"} and detail["ctx"]["min_length"] == 1:
        return "must not be empty"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return _WORDS.get(detail["type"]) or re.sub(r"^(\w+ )?should ", r"\1must ", message)
