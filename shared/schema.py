"""JSON Schema 2020-12 for bodies from anywhere: bounded rules, and the check that a schema stands alone.

With jsonschema's own rules a sender could take hours of computing or all memory. Import this module only where a
schema is checked: jsonschema is slow to import.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from shared.jsontext import Json, JsonObject, canonical

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
