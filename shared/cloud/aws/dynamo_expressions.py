"""DynamoDB's expressions, and what their placeholders stand for: `#name` for an attribute, `:name` for a value.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from math import inf

from shared.cloud.aws.dynamo_values import Fields, Value, encoded
from shared.cloud.aws.tables import Index
from shared.jsontext import JsonObject


def index_query(index: Index, partition: str, low: float, high: float) -> JsonObject | None:
    """Return a query; None if nothing can be between the bounds, which DynamoDB rejects."""
    if low > high:
        return None
    expression, values = f"#{index.partition} = :partition", dict[str, Value](partition=partition)
    if high < inf:
        expression += f" AND #{index.sort} BETWEEN :low AND :high"
        values |= {"low": low, "high": high}
    elif low > 0.0:
        expression += f" AND #{index.sort} >= :low"
        values |= {"low": low}
    request: JsonObject = {"IndexName": index.name, "KeyConditionExpression": expression}
    return with_placeholders(request, placeholders(values))


def placeholders(values: Fields) -> JsonObject:
    return {f":{name}": encoded(value) for name, value in values.items() if value is not None}


def with_placeholders(request: JsonObject, values: JsonObject) -> JsonObject:
    """Add what the placeholders of the request's expressions stand for. Every name is one: many words are reserved."""
    expressions = [str(text) for name, text in request.items() if name.endswith("Expression")]
    if expressions:
        request["ExpressionAttributeNames"] = {**names_in(" ".join(expressions))}
        if values:
            request["ExpressionAttributeValues"] = values
    return request


@lru_cache(maxsize=64)
def update_expression(sets: tuple[str, ...], removed: tuple[str, ...], increments: tuple[str, ...]) -> str:
    clauses = [
        ("SET", [f"#{name} = :new_{name}" for name in sets]),
        ("REMOVE", [f"#{name}" for name in removed]),
        ("ADD", [f"#{name} :by_{name}" for name in increments]),
    ]
    return " ".join([f"{word} {', '.join(each)}" for word, each in clauses if each])


@lru_cache(maxsize=64)
def names_in(expression: str) -> Mapping[str, str]:
    return {f"#{name}": name for name in re.findall(r"#(\w+)", expression)}
