"""What pydantic says of a value, in an operator's words."""

from typing import Final

from pydantic_core import ErrorDetails

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
