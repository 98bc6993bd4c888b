"""A source's JSON Schema (2020-12), checked at once on whatever was parsed.

jsonschema is imported here only, and this module only where a source has a schema.
"""

from collections.abc import Iterator
from typing import Final

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject, canonical, to_json

_MAX_SHOWN: Final = 60


def _unique_items(_: Draft202012Validator, unique: bool, instance: Json, __: JsonObject) -> Iterator[ValidationError]:
    """By hash: the library compares each with each, which a sender could make take hours."""
    if unique and isinstance(instance, list) and len({_key(item) for item in instance}) < len(instance):
        yield ValidationError("has items that are the same")


def _key(value: Json) -> bytes:
    """The same for what JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    return canonical(_number(value))


def _number(value: Json) -> Json:
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, dict):
        return {key: _number(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


Validator: Final = extend(Draft202012Validator, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call] # it has no types


class SchemaCheck:
    """`document` was checked when it was compiled."""

    def __init__(self, document: Json) -> None:
        self._validator = Validator(document, registry=Registry())  # which looks nothing up elsewhere

    def verify(self, data: Json) -> None:
        """Raises Rejected (`schema`), which names the place and the rule, and nothing that was sent."""
        try:
            error = next(self._validator.iter_errors(data), None)
        except (RecursionError, ArithmeticError, ValueError):  # of numbers too long to reckon with, schemas in circles
            raise Rejected("schema", "the body cannot be checked against the source's schema") from None
        if error:
            raise Rejected("schema", f"{_place(error)} {_rule(error)}")


def _place(error: ValidationError) -> str:
    """The path to it, in which only what the schema names itself, and positions, are shown."""
    named = set(error.absolute_schema_path)
    parts = [str(part) if isinstance(part, int) or part in named else "*" for part in error.absolute_path]
    return ".".join(["data", *parts])


def _rule(error: ValidationError) -> str:
    rule, wanted = str(error.validator), error.validator_value
    if rule == "required" and isinstance(wanted, list) and isinstance(error.instance, dict):
        missing = [str(name) for name in wanted if name not in error.instance]
        return f"lacks {', '.join(missing)} (rule required)"
    if isinstance(wanted, str | int | float | list):
        shown = wanted if isinstance(wanted, str) else to_json(wanted)
        if len(shown) <= _MAX_SHOWN:
            return f"breaks the rule {rule}: {shown}"
    return f"breaks the rule {rule}"
