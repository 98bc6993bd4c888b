"""JSON Schema 2020-12 for bodies from anywhere: bounded rules, the texts of faults, and the check that a schema stands
alone.

With jsonschema's own rules a sender could take hours of computing or all memory. Import this module only where a
schema is checked: jsonschema is slow to import.
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
from shared.jsontext import Json, JsonObject, canonical, to_json
from shared.writers.writing import place_of_senders_key

FORMATS: Final = ("date", "email", "idn-email", "ipv4", "ipv6", "regex", "uuid")
"""The values of a schema's `format` that are checked, besides date-time. Any other `format` is an annotation, as the
specification allows."""
MAX_FAULTS: Final = 10
"""The most faults of a value that are found and shown."""
_MAX_SHOWN_CHARACTERS: Final = 80
"""The longest part of the schema that a fault shows."""
MAX_MATCHED_CHARACTERS: Final = 32_768
TOO_LONG: Final = (
    f"is too long to be matched against a pattern, which is done with {MAX_MATCHED_CHARACTERS:,} characters"
)


def unique_items(_: Draft202012Validator, unique: Json, items: Json, __: JsonObject) -> Iterator[ValidationError]:
    """Compare items by hash: comparing each with every other one can take hours."""
    if unique is True and isinstance(items, list) and _holds_equal(items):
        yield ValidationError("holds an item twice")


def pattern(_: Draft202012Validator, expected: Json, text: Json, __: JsonObject) -> Iterator[ValidationError]:
    """Reject long texts: a time bound interrupts `re` late, after 7 s for a text of 900 KB."""
    if not isinstance(text, str) or not isinstance(expected, str):
        return
    if len(text) > MAX_MATCHED_CHARACTERS:
        yield ValidationError(TOO_LONG)
    elif not re.search(expected, text):
        yield ValidationError("does not match")


def any_of(kind: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    """Keep no errors: the library would keep the errors of each schema, 2 KB for each item of a list."""
    if not any(_fitting(kind, schemas, value)):
        yield ValidationError("must fit one of the schemas")


def one_of(kind: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    if len(list(islice(_fitting(kind, schemas, value), 2))) != 1:
        yield ValidationError("must fit exactly one of the schemas")


RULES: Final = {"uniqueItems": unique_items, "pattern": pattern, "anyOf": any_of, "oneOf": one_of}


def _fitting(kind: Draft202012Validator, schemas: Json, value: Json) -> Iterator[bool]:
    """Yield True for each schema that the value fits."""
    assert isinstance(schemas, list)
    for schema in schemas:
        assert isinstance(schema, dict | bool)
        if next(kind.descend(value, schema), None) is None:
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


class Schema:
    """A JSON Schema that is ready to check values."""

    def __init__(self, document: Json) -> None:
        """Compile the schema. Raises ValueError if it cannot be used."""
        verify_schema(document)
        self._validator = bounded_validator(document, _format_checker())

    def find_faults(self, value: Json, place: str) -> list[str]:
        """Return at most MAX_FAULTS faults. `place` is the path to the value, for their texts."""
        faults: dict[str, None] = {}
        try:
            for error in islice(self._validator.iter_errors(value), MAX_FAULTS):
                faults[f"{_place_of(error, place)} {broken_rule(error)}"] = None
        except (RecursionError, ArithmeticError, ValueError):
            # A schema may refer to itself, a number may be too long to compute with, and a text that is to be a regex
            # (`format: regex`) may fail to compile in other ways than jsonschema expects.
            faults[f"{place} cannot be checked against the schema"] = None
        return [*faults]


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
    rule = str(error.validator)
    rule_value = cast("Json", error.validator_value)
    if error.message == TOO_LONG:  # the rule `pattern` of this module, which did not match the text
        return TOO_LONG
    if rule == "required":  # one error for each missing name, of which each describes all
        fields = cast("JsonObject", error.instance)
        return f"lacks {', '.join(repr(name) for name in cast('list[str]', rule_value) if name not in fields)}"
    if rule == "type":
        types = " or ".join(map(str, rule_value)) if isinstance(rule_value, list) else rule_value
        return f"is not of type {types}"
    if rule in ("additionalProperties", "unevaluatedProperties"):
        return "has a field that the schema does not name"
    if rule == "uniqueItems":
        return "holds an item twice"
    if rule in ("const", "enum") or isinstance(rule_value, str | int | float):
        return f"breaks {rule}: {to_json(rule_value)[:_MAX_SHOWN_CHARACTERS]}"
    return f"breaks {rule}" if error.validator else "is not allowed"


def bounded_validator(schema: Json, format_checker: FormatChecker | None = None) -> Validator:
    """Return a validator by RULES, for a schema that was checked. It looks nothing up elsewhere."""
    kind = extend(Draft202012Validator, RULES)  # type: ignore[no-untyped-call] # it has no types
    made: Validator = kind(schema, registry=Registry(), format_checker=format_checker)
    return made


def verify_schema(document: Json) -> None:
    """Raise ValueError with the broken rule unless the document is a JSON Schema that needs no other document."""
    if not isinstance(document, dict):
        raise ValueError("must be a JSON Schema, which is an object")
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the schema"
        raise ValueError(f"must be a JSON Schema: {place}: {error.message[:200]}") from error
    if (reference := reference_outside(document)) is not None:
        raise ValueError(f"{reference!r} must refer to a part of this schema. Copy the other one into `$defs`")


def reference_outside(document: Json) -> str | None:
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
