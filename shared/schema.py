"""JSON Schema 2020-12 for bodies from anywhere.

`verify_schema` checks an operator's schema, `Schema` checks values with it, and `broken_rule` describes a fault. With
jsonschema's own rules a sender could take hours of computing or all memory, so RULES replaces four of them. These rules
only say that a value fails: `broken_rule` ignores the messages of all errors, and makes its text from the rule.

Import this module only where a schema is checked: jsonschema is slow to import.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, cast

from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from shared import times
from shared.jsontext import Json, JsonObject, canonical, kind_of, to_json
from shared.writers.writing import place_of_senders_key

FORMATS: Final = ("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid")
"""The values of a schema's `format` that are checked, besides date-time. Any other `format` is an annotation, as the
specification allows."""
MAX_FAULTS: Final = 10
"""The most faults of a value that are found and shown."""
_MAX_SHOWN_CHARACTERS: Final = 80
"""The longest part of a rule's value, such as a `const`, that the text of a fault shows."""
_MAX_MESSAGE_CHARACTERS: Final = 200
"""The longest part of jsonschema's message about a document that is no schema. The message quotes the document."""
_MAX_MATCHED_CHARACTERS: Final = 32_768
"""The longest text that is matched against a `pattern`. A time bound interrupts `re` late, after 7 s for a text of 900
KB."""


class Schema:
    """A JSON Schema that is ready to check values."""

    def __init__(self, document: Json) -> None:
        """Compile the schema. Raises ValueError if it cannot be used."""
        verify_schema(document)
        self._validator = bounded_validator(document, _format_checker())

    def find_faults(self, value: Json, place: str) -> list[str]:
        """Return at most MAX_FAULTS faults, each text once. `place` is the path to the value, with which they begin."""
        faults: dict[str, None] = {}
        try:
            for error in islice(self._validator.iter_errors(value), MAX_FAULTS):
                faults[f"{_place_of(error, place)} {broken_rule(error)}"] = None
        except (RecursionError, ArithmeticError, ValueError):
            # A schema may refer to itself, a number may be too long to compute with, and a text that is to be a regex
            # (`format: regex`) may fail to compile in other ways than jsonschema expects.
            faults[f"{place} cannot be checked against the schema"] = None
        return [*faults]


def verify_schema(document: Json) -> None:
    """Raise ValueError with the broken rule unless the document is a JSON Schema that needs no other document."""
    if not isinstance(document, dict):
        raise ValueError("must be a JSON Schema, which is an object")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the schema"
        raise ValueError(f"must be a JSON Schema: {place}: {error.message[:_MAX_MESSAGE_CHARACTERS]}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply to be checked") from error
    if (reference := unresolvable_reference(document)) is not None:
        raise ValueError(f"{reference!r} must refer to a part of this schema. Copy the other one into `$defs`")


def unresolvable_reference(document: Json) -> str | None:
    """Return the first reference that leads to nothing in the schema, or None. Nothing is looked up elsewhere."""
    root: Resource[Json] = DRAFT202012.create_resource(document)
    waiting = [(root, Registry().resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        for reference in _references(resource.contents):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                return reference
        waiting.extend((inner, resolver.in_subresource(inner)) for inner in resource.subresources())
    return None


def _references(schema: Json) -> Iterator[str]:
    for key in ("$ref", "$dynamicRef"):
        if isinstance(schema, dict) and isinstance(reference := schema.get(key), str):
            yield reference


def bounded_validator(schema: Json, format_checker: FormatChecker | None = None) -> Validator:
    """Return a validator by RULES, for a schema that `verify_schema` accepted. It looks nothing up elsewhere."""
    bounded_class = extend(Draft202012Validator, RULES)  # type: ignore[no-untyped-call] # it has no types
    validator: Validator = bounded_class(schema, registry=Registry(), format_checker=format_checker)
    return validator


def _unique_items(_: Draft202012Validator, unique: Json, items: Json, __: JsonObject) -> Iterator[ValidationError]:
    """Yield an error if two items are equal. They are compared by hash: comparing all pairs can take hours."""
    if unique is True and isinstance(items, list) and _holds_equal(items):
        yield ValidationError("has equal items")


def _pattern(_: Draft202012Validator, expected: Json, text: Json, __: JsonObject) -> Iterator[ValidationError]:
    """Yield an error if the text does not match, or is longer than _MAX_MATCHED_CHARACTERS."""
    if not isinstance(text, str) or not isinstance(expected, str):
        return
    if len(text) > _MAX_MATCHED_CHARACTERS or not re.search(expected, text):
        yield ValidationError("does not match")


def _any_of(validator: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    """Yield an error if the value fits no schema.

    The library would keep the errors of each schema, 2 KB for each item of a list. This rule keeps none.
    """
    if not any(_fitting(validator, schemas, value)):
        yield ValidationError("fits none")


def _one_of(validator: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    """Yield an error unless the value fits exactly one schema. It keeps no errors of the schemas, as `_any_of`."""
    at_most_two = [*islice(_fitting(validator, schemas, value), 2)]
    if len(at_most_two) != 1:
        yield ValidationError("does not fit exactly one")


RULES: Final = {"uniqueItems": _unique_items, "pattern": _pattern, "anyOf": _any_of, "oneOf": _one_of}


def _fitting(validator: Draft202012Validator, schemas: Json, value: Json) -> Iterator[bool]:
    """Yield True for each schema that the value fits."""
    assert isinstance(schemas, list)
    for schema in schemas:
        assert isinstance(schema, dict | bool)
        if next(validator.descend(value, schema), None) is None:
            yield True


def _holds_equal(items: list[Json]) -> bool:
    """Return whether two items are equal by JSON Schema's rule: 1 and 1.0 are, 1 and true are not."""
    return len({canonical(_as_compared(item)) for item in items}) < len(items)


def _as_compared(value: Json) -> Json:
    if isinstance(value, list):
        return [_as_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_compared(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _format_checker() -> FormatChecker:
    checker = FormatChecker(FORMATS)
    checker.checks("date-time", raises=ValueError)(_is_time)
    return checker


def _is_time(value: object) -> bool:
    """Return True for a time, and for what is not text: `format` applies to texts only. Raises ValueError."""
    if isinstance(value, str):
        times.unix_seconds(value)
    return True


def _place_of(error: ValidationError, place: str) -> str:
    """Return the path to the value that breaks a rule. `place` is the path to the whole value."""
    for part in error.absolute_path:
        place = f"{place}[{part}]" if isinstance(part, int) else place_of_senders_key(place, str(part))
    return place


def broken_rule(error: ValidationError) -> str:
    """Describe the broken rule in the words of the operator's schema.

    jsonschema's own message also quotes the value. That is the sender's, and must not reach a log.
    """
    if error.validator is None:  # the schema `false`, which no value fits
        return "is not allowed"
    rule = error.validator
    rule_value = cast("Json", error.validator_value)
    if rule == "pattern" and len(cast("str", error.instance)) > _MAX_MATCHED_CHARACTERS:
        limit = f"{_MAX_MATCHED_CHARACTERS:,} characters"
        return f"is too long to be matched against a pattern, which is done with {limit}"
    if rule == "required":  # there is an error for each missing field, and each gets this text, which names them all
        fields = cast("JsonObject", error.instance)
        return f"lacks {', '.join(repr(name) for name in cast('list[str]', rule_value) if name not in fields)}"
    if rule == "type":
        types = " or ".join(map(str, rule_value)) if isinstance(rule_value, list) else rule_value
        return f"is not of type {types}: it is {kind_of(cast('Json', error.instance))}"
    if rule in ("additionalProperties", "unevaluatedProperties"):
        return "has a field that the schema does not name"
    if rule == "uniqueItems":
        return "holds an item twice"
    if rule in ("const", "enum") or isinstance(rule_value, str | int | float):
        return f"breaks {rule}: {to_json(rule_value)[:_MAX_SHOWN_CHARACTERS]}"
    return f"breaks {rule}"
