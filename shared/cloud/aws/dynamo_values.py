"""Items, values, queries and expressions in DynamoDB's JSON.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Final, TypeAlias

from shared.cloud.aws.tables import Index
from shared.jsontext import Json, JsonObject, base64_text, decode_base64

MAX_FIELD_BYTES: Final = 350_000
"""The size of one large attribute. DynamoDB allows 400 KiB for an item with the names of all its attributes."""
MAX_KEY_BYTES: Final = 1_024

Value: TypeAlias = str | int | float | bytes | tuple[str, ...] | None
Fields: TypeAlias = Mapping[str, Value]
"""The attributes of an item. An attribute that is None is not stored."""


def item_key(text: str) -> str:
    """Return the key of the item for a text: the text itself if DynamoDB accepts it as a key, otherwise its hash."""
    content = text.encode()
    return text if 0 < len(content) <= MAX_KEY_BYTES else hashlib.sha256(content).hexdigest()


def encoded(value: str | int | float | bytes | tuple[str, ...]) -> JsonObject:
    """Return the value in DynamoDB's JSON. A number is sent as text, and stored with up to 38 digits."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int | float):
        return {"N": repr(int(value) if isinstance(value, bool) else value)}
    if isinstance(value, bytes):
        return {"B": base64_text(value)}
    return {"L": [{"S": each} for each in value]}


def decoded(value: Json) -> Value:
    """Return the value of DynamoDB's JSON; None for a type that `encoded` does not write. 1.0 comes back as 1."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    [(kind, content)] = value.items()
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
    """Return the item in DynamoDB's JSON, without the attributes that are None."""
    return {
        # Texts are encoded in place: most values are texts, and a call would take as long as the encoding.
        name: {"S": value} if isinstance(value, str) else encoded(value)
        for name, value in fields.items()
        if value is not None
    }


def from_item(item: Json) -> dict[str, Value]:
    """Return the attributes of an item in DynamoDB's JSON; none for anything but an item."""
    return {name: decoded(value) for name, value in item.items()} if isinstance(item, dict) else {}


def index_query(index: Index, partition: str, low: float, high: float) -> JsonObject | None:
    """Return a query for the items between the bounds; None if `low` is above `high`, which DynamoDB would reject."""
    if low > high:
        return None
    expression = f"#{index.partition} = :partition"
    values: dict[str, Value] = {"partition": partition}
    if high < inf:
        expression += f" AND #{index.sort} BETWEEN :low AND :high"
        values |= {"low": low, "high": high}
    elif low > 0.0:
        expression += f" AND #{index.sort} >= :low"
        values |= {"low": low}
    request: JsonObject = {"IndexName": index.name, "KeyConditionExpression": expression}
    return with_placeholders(request, placeholders(values))


def placeholders(values: Fields) -> JsonObject:
    """Return the encoded values by the names of their placeholders: `:name`. A value that is None is left out."""
    return {f":{name}": encoded(value) for name, value in values.items() if value is not None}


def with_placeholders(request: JsonObject, values: JsonObject) -> JsonObject:
    """Add the names and values of its placeholders to the request, and return it. All names are placeholders, because
    DynamoDB reserves many words."""
    expressions = [str(text) for name, text in request.items() if name.endswith("Expression")]
    if expressions:
        request["ExpressionAttributeNames"] = {**names_in(" ".join(expressions))}
        if values:
            request["ExpressionAttributeValues"] = values
    return request


@lru_cache(maxsize=64)
def update_expression(sets: tuple[str, ...], removed: tuple[str, ...], increments: tuple[str, ...]) -> str:
    """Return the expression that sets the first attributes to `:new_<name>`, removes the second, and adds `:by_<name>`
    to the third. It is cached, because the same few updates are made all the time."""
    clauses = [
        ("SET", [f"#{name} = :new_{name}" for name in sets]),
        ("REMOVE", [f"#{name}" for name in removed]),
        ("ADD", [f"#{name} :by_{name}" for name in increments]),
    ]
    return " ".join([f"{keyword} {', '.join(actions)}" for keyword, actions in clauses if actions])


@lru_cache(maxsize=64)
def names_in(expression: str) -> Mapping[str, str]:
    """Return the attributes by their placeholders in the expression: `#name`."""
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expression)}
