"""Types that models of settings share and that pydantic makes; and pydantic's errors in plain words."""

import json
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import ErrorDetails

from shared.config.rules import SecretName
from shared.http import HEADER_NAME

__all__ = ["SecretName"]  # operators' own kinds of destinations may import it from here


class Model(BaseModel):
    """A part of the settings. Its validator is made at its first use: most processes use few of the models."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, defer_build=True)


def _header_name(text: str) -> str:
    if not re.fullmatch(HEADER_NAME, text):
        raise ValueError("must be the name of a header")
    return text.lower()


Verbatim = Annotated[str, StringConstraints(strip_whitespace=False)]
"""Text whose leading and trailing white space counts, because it is compared or signed with what a sender wrote."""

HeaderName = Annotated[str, AfterValidator(_header_name)]


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
    # The API for subscribers leaves the input out.
    found = detail.get("input", "")
    if detail["type"] == "string_type" and (found is None or isinstance(found, int | float)):
        return f"must be text; got {json.dumps(found)}. Put it in quotes"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return _WORDS.get(detail["type"]) or re.sub(r"^(\w+ )?should ", r"\1must ", message)
