"""DynamoDB's JSON for values and items, and keys that it takes.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

import hashlib
from collections.abc import Mapping
from typing import Final, TypeAlias

from shared.base64_text import base64_text, decode_base64
from shared.jsontext import Json, JsonObject

MAX_ITEM_BYTES: Final = 400 * 1024
"""Of a whole item, the names of its attributes included."""
MAX_FIELD_BYTES: Final = 350_000
"""Of an item's one large attribute, which leaves room for the others."""
MAX_KEY_BYTES: Final = 1_024

Value: TypeAlias = str | int | float | bytes | tuple[str, ...] | None
Fields: TypeAlias = Mapping[str, Value]
"""An item. An attribute that is None is one that it does not have."""


def item_key(text: str) -> str:
    """Return any text as an item's key: as it is where DynamoDB accepts it, else its hash."""
    content = text.encode()
    return text if 0 < len(content) <= MAX_KEY_BYTES else hashlib.sha256(content).hexdigest()


def encoded(value: str | int | float | bytes | tuple[str, ...]) -> JsonObject:
    """A number travels as text, whose digits DynamoDB keeps to 38."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    if isinstance(value, bytes):
        return {"B": base64_text(value)}
    return {"L": [{"S": each} for each in value]}


def decoded(value: Json) -> Value:
    """Return the value; None also for a kind that we do not write. A number is an integer where it looks like one."""
    [(kind, content)] = value.items() if isinstance(value, dict) and len(value) == 1 else [("NULL", None)]
    match kind, content:
        case "S", str():
            return content
        case "N", str():
            return _number(content)
        case "B", str():
            return decode_base64(content, strict=False)
        case "L", list():
            return tuple(each["S"] for each in content if isinstance(each, dict) and isinstance(each.get("S"), str))  # type: ignore[misc] # the condition says so
        case _:
            return None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def to_item(fields: Fields) -> JsonObject:
    return {
        name: {"S": value} if isinstance(value, str) else encoded(value)  # most are text, and a call takes as long
        for name, value in fields.items()
        if value is not None
    }


def from_item(item: Json) -> dict[str, Value]:
    return {name: decoded(value) for name, value in item.items()} if isinstance(item, dict) else {}
