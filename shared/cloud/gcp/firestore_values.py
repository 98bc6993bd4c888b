"""Documents, values, writes and queries in Firestore's JSON.

https://firebase.google.com/docs/firestore/reference/rest/v1/Value
https://firebase.google.com/docs/firestore/reference/rest/v1/StructuredQuery
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, TypeAlias

from shared import times
from shared.jsontext import Json, JsonObject, base64_text, decode_base64

MAX_DOCUMENT_BYTES: Final = 900_000
"""The size of one large field. Firestore allows 1 MiB for a document with all its names and fields."""

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


@dataclass(frozen=True, slots=True)
class Moment:
    """A timestamp in Unix seconds. A TTL policy needs a value of this type."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Name:
    """The full name of a document, as a query compares it with the field NAME."""

    text: str


NAME: Final = "__name__"
"""The field of a query that stands for a document's full name."""
Value: TypeAlias = str | int | float | bytes | Moment | Name | None
"""The value of a field. No type here is Firestore's boolean, map or array."""
Fields: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Write:
    """The write of one document.

    fields      the new fields; None deletes the document
    is_new      create the document. It is a conflict if it exists
    mask        the names of the fields that are written; None replaces the whole document
    increments  the numbers that the same write adds to integer fields
    version     write only if this is still the version of the document. It is a conflict if it is not
    """

    collection: str
    id: str
    fields: Fields | None
    is_new: bool = False
    mask: tuple[str, ...] | None = None
    increments: Mapping[str, int] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Where:
    """A condition of a query. `op` is an operator of Firestore, such as EQUAL or LESS_THAN. IN needs several values."""

    field: str
    op: str
    value: Value | Sequence[Value]


def document_id(text: str) -> str:
    """Return the id of a document for a text: the text itself if Firestore accepts it as an id, else its hash."""
    return text if _PLAIN_ID.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()


def encoded(value: Value | Sequence[Value]) -> JsonObject:
    """Return the value in Firestore's JSON. Raises ValueError for infinity and NaN."""
    match value:
        case None:
            return {"nullValue": "NULL_VALUE"}
        case str():
            return {"stringValue": value}
        case int():
            return {"integerValue": str(value)}
        case float():
            if not isfinite(value):
                raise ValueError("JSON has neither infinity nor NaN")
            return {"doubleValue": value}
        case bytes():
            return {"bytesValue": base64_text(value)}
        case Moment():
            return {"timestampValue": times.rfc3339(value.seconds)}
        case Name():
            return {"referenceValue": value.text}
        case _:
            return {"arrayValue": {"values": [encoded(each) for each in value]}}


def decoded(value: Json) -> Value:
    """Return the value of Firestore's JSON; None for null, and for a type that `encoded` does not write."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    [(kind, content)] = value.items()
    match kind, content:
        case "integerValue", str() | int():
            return int(content)
        case "doubleValue", int() | float():
            return float(content)
        case "stringValue", str():
            return content
        case "bytesValue", str():
            return decode_base64(content, strict=False)
        case "timestampValue", str():
            return Moment(times.unix_seconds(content))
        case _:
            return None


def to_fields(fields: Fields) -> JsonObject:
    return {name: encoded(value) for name, value in fields.items()}


def from_fields(document: JsonObject) -> Fields:
    fields = document.get("fields")
    return {name: decoded(value) for name, value in fields.items()} if isinstance(fields, dict) else {}


def write_document(write: Write, name: str) -> JsonObject:
    """Return a write as JSON. `name` is the document's full name."""
    if write.fields is None:
        deletion: JsonObject = {"delete": name}
        return deletion | {"currentDocument": {"updateTime": write.version}} if write.version else deletion
    document: JsonObject = {"update": {"name": name, "fields": to_fields(write.fields)}}
    if write.mask is not None:
        document["updateMask"] = {"fieldPaths": list(write.mask)}
    if write.is_new:
        document["currentDocument"] = {"exists": False}
    if write.version:
        document["currentDocument"] = {"updateTime": write.version}
    if write.increments:
        document["updateTransforms"] = [
            {"fieldPath": name, "increment": encoded(by)} for name, by in write.increments.items()
        ]
    return document


def query_document(
    collection: str,
    where: Sequence[Where] = (),
    *,
    limit: int,
    order_by: str | None = None,
    descending: bool = False,
    select: Sequence[str] = (),
) -> JsonObject:
    """Return a structured query. Without `select` it reads whole documents."""
    filters: list[Json] = [
        {"fieldFilter": {"field": {"fieldPath": each.field}, "op": each.op, "value": encoded(each.value)}}
        for each in where
    ]
    query: JsonObject = {"from": [{"collectionId": collection}], "limit": limit}
    if len(filters) == 1:
        query["where"] = filters[0]
    elif filters:
        query["where"] = {"compositeFilter": {"op": "AND", "filters": filters}}
    if order_by:
        direction = "DESCENDING" if descending else "ASCENDING"
        query["orderBy"] = [{"field": {"fieldPath": order_by}, "direction": direction}]
    if select:
        query["select"] = {"fields": [{"fieldPath": name} for name in select]}
    return query


def begins_with(field: str, prefix: str) -> list[Where]:
    """Return conditions for a text field that begins with the prefix.

    The upper bound ends with U+F8FF, a character for private use, which comes after nearly every other character.
    """
    return [Where(field, "GREATER_THAN_OR_EQUAL", prefix), Where(field, "LESS_THAN", prefix + "\uf8ff")]
