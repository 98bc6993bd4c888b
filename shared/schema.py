"""Rules of JSON Schema that a sender could make jsonschema's own take hours or all memory over.

Imported only where a schema is checked, as jsonschema is.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from jsonschema import Draft202012Validator, ValidationError

from shared.jsontext import Json, JsonObject, canonical

MAX_MATCHED_CHARACTERS: Final = 32_768
TOO_LONG: Final = (
    f"is too long to be matched against a pattern, which is done with {MAX_MATCHED_CHARACTERS:,} characters"
)


def unique_items(_: Draft202012Validator, unique: Json, items: Json, __: JsonObject) -> Iterator[ValidationError]:
    """By hash: compared each with each, a list can take hours."""
    if unique is True and isinstance(items, list) and _holds_equal(items):
        yield ValidationError("holds an item twice")


def pattern(_: Draft202012Validator, wanted: Json, text: Json, __: JsonObject) -> Iterator[ValidationError]:
    """A time bound reaches `re` only now and then, and later the longer the text is: 7 s for 900 KB were measured."""
    if not isinstance(text, str) or not isinstance(wanted, str):
        return
    if len(text) > MAX_MATCHED_CHARACTERS:
        yield ValidationError(TOO_LONG)
    elif not re.search(wanted, text):
        yield ValidationError("does not match")


def any_of(kind: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    """The library keeps all that is wrong under each of the schemas: 2 KB for each item of a list."""
    if not any(_fitting(kind, schemas, value)):
        yield ValidationError("fits none of the schemas")


def one_of(kind: Draft202012Validator, schemas: Json, value: Json, _: JsonObject) -> Iterator[ValidationError]:
    if len(list(islice(_fitting(kind, schemas, value), 2))) != 1:
        yield ValidationError("fits none of the schemas, or several")


RULES: Final = {"uniqueItems": unique_items, "pattern": pattern, "anyOf": any_of, "oneOf": one_of}


def _fitting(kind: Draft202012Validator, schemas: Json, value: Json) -> Iterator[bool]:
    """True for each schema that the value fits."""
    assert isinstance(schemas, list)
    for schema in schemas:
        assert isinstance(schema, dict | bool)
        if next(kind.descend(value, schema), None) is None:
            yield True


def _holds_equal(items: list[Json]) -> bool:
    """As JSON Schema has it: 1 and 1.0 are equal, 1 and true are not."""
    return len({canonical(_as_compared(item)) for item in items}) < len(items)


def _as_compared(value: Json) -> Json:
    if isinstance(value, list):
        return [_as_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_compared(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
