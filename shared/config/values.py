"""What the models of hookchain.yaml are made of: names, durations, locations."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import ErrorDetails

from shared.secrets import SECRET_NAME

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


def _secret_name(text: str) -> str:
    if not SECRET_NAME.fullmatch(text):
        raise ValueError("a secret is given by its name: a lower-case letter, then letters, digits and '-', at most 63")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is letters, digits, '-' and '_', at most 63, and begins with a letter or digit")
    return text


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise ValueError("is not a header's name")
    return text.lower()


def duration_seconds(value: object) -> object:
    """`90`, `90s`, `5m`, `2h` or `1d` as seconds; what is no text unchanged, for pydantic to judge."""
    if not isinstance(value, str) or value.isdecimal():
        return value
    if found := _DURATION.fullmatch(value):
        return float(found[1]) * _UNIT_SECONDS[found[2]]
    raise ValueError("a time is a number of seconds, or such as 90s, 5m, 2h, 1d")


def listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Verbatim = Annotated[str, StringConstraints(strip_whitespace=False)]
"""White space at its ends counts: it is compared with, or signed together with, what a sender wrote."""

SecretName = Annotated[str, AfterValidator(_secret_name)]
Name = Annotated[str, AfterValidator(_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Seconds = Annotated[float, BeforeValidator(duration_seconds), Field(ge=0)]


_WORDS: Final = {
    "missing": "is missing",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "list_type": "should be a list",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
}


def fault_words(detail: ErrorDetails) -> str:
    if detail["type"] in {"too_short", "string_too_short"} and detail["ctx"]["min_length"] == 1:
        return "should not be empty"
    return _WORDS.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
