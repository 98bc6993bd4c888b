"""Types that models of settings share and that pydantic makes; and pydantic's errors in plain words."""

import json
import re
from collections.abc import Mapping, Sized
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, SkipValidation, StringConstraints
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
VerbatimJson = Annotated[JsonValue, SkipValidation]
"""JSON with all white space in its texts, because it is compared with an event or becomes a part of one."""
VerbatimObject = dict[Verbatim, VerbatimJson]

HeaderName = Annotated[str, AfterValidator(_header_name)]


_RULES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dataclass_type": "must be a mapping",
    "dataclass_exact_type": "must be a mapping",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "{discriminator} is missing",
    "invalid_key": "must have keys that are text",
    "mapping_type": "must be a mapping",
    "is_instance_of": "must be a list",  # a Sequence: no setting is of any other class
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": "must be text that UTF-8 can hold",
    "string_pattern_mismatch": "must match the pattern {pattern!r}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "none_required": "must be null",
}
"""Our rule, by pydantic's type of an error. Its own sentences speak of validation and of Python's types."""


def fault_text(detail: ErrorDetails, *, shows_value: bool = True) -> str:
    """Return the rule that a value breaks, such as `must be a mapping`, and a number or null that stands for a text."""
    kind = detail["type"]
    found: object = detail["input"]
    if kind in {"too_short", "string_too_short", "too_long", "string_too_long"}:
        return _length_rule(detail["ctx"], found, is_text=kind.startswith("string_") or isinstance(found, str))
    if shows_value and kind == "string_type" and (found is None or isinstance(found, int | float)):
        return f"must be text; got {json.dumps(found)}. Put it in quotes"
    if rule := _RULES.get(kind):
        return rule.format(**detail.get("ctx", {}))
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return re.sub(r"^(\w+ )?should ", r"\1must ", message)


def _length_rule(context: Mapping[str, object], found: object, *, is_text: bool) -> str:
    unit = "character" if is_text else "item"
    is_short = "min_length" in context
    limit = context["min_length" if is_short else "max_length"]
    if is_short and limit == 1:
        return "must not be empty"
    length = len(found) if isinstance(found, Sized) else context.get("actual_length")
    units = unit if limit == 1 else f"{unit}s"
    rule = f"must have at {'least' if is_short else 'most'} {limit} {units}"
    return rule if length is None else f"{rule}; got {length}"
