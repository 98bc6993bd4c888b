"""A client of DynamoDB: it reads, queries and writes items, and converts values and expressions to DynamoDB's JSON.

A write may have a condition. If the condition does not hold, DynamoDB's answer has the stored item, so the caller can
decide again without reading it. A write whose answer was lost is sent again, and may then fail because of its own first
try. So items have a mark of their last write, by which the caller recognises that.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from shared.base64_text import base64_text, decode_base64
from shared.batching import batches
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name, is_passing_answer
from shared.cloud.aws.tables import EXPIRES_AT, KEY, Index, Table
from shared.cloud.retries import PATIENT, with_retries
from shared.cloud.shards import merge_shards
from shared.errors import Temporary, TemporaryCode
from shared.jsontext import Json, JsonObject, from_json, list_at, texts_json, value_at
from shared.outgoing.http_client import MAX_ANSWER_BYTES, Answer
from shared.time_bound import back_off

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
        # Texts are encoded in place: most values are texts, and a call would take as long as the encoding.
        name: {"S": value} if isinstance(value, str) else encoded(value)
        for name, value in fields.items()
        if value is not None
    }


def from_item(item: Json) -> dict[str, Value]:
    return {name: decoded(value) for name, value in item.items()} if isinstance(item, dict) else {}


def index_query(index: Index, partition: str, low: float, high: float) -> JsonObject | None:
    """Return a query for the items between the bounds; None if `low` is above `high`, which DynamoDB would reject."""
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
    """Return the request with the names and values of its placeholders. All names are placeholders, because DynamoDB
    reserves many words."""
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


CALL_SECONDS: Final = 5.0
TRIES: Final = 5
"""Of a read of many items, of which DynamoDB answered none at all."""
CONTENTION_SECONDS: Final = 0.05
KEYS_AT_ONCE: Final = 100
LOOKED_THROUGH_AT_ONCE: Final = 1_000
CONDITION_FAILED: Final = "ConditionalCheckFailedException"
WHY: Final[Mapping[str, str]] = {
    "AccessDeniedException": ": the function's role lacks a permission there",
    "ResourceNotFoundException": ": there is no such table; a deployment makes it",
}
NO_VALUES: Final[Fields] = MappingProxyType({})


class Condition(NamedTuple):
    """A condition in DynamoDB's own words. `#name` stands for an attribute, and `:name` for a value."""

    expression: str
    values: Fields = NO_VALUES


class Dynamo:
    """`code` is the code of the Temporary that every failure becomes: which of our parts does not answer."""

    def __init__(
        self, place: AwsPlace, table_prefix: str, code: TemporaryCode, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self._client = AwsClient(place, "dynamodb", max_answer_bytes=max_answer_bytes)
        self._prefix = table_prefix
        self._code: TemporaryCode = code

    def close(self) -> None:
        self._client.close()

    async def put(self, table: Table, fields: Fields, condition: Condition | None = None) -> Fields | None:
        """Write the whole item. Return None; or, if the condition does not hold, the item that is stored, which is
        empty if there is none.

        Raises Temporary, as all of these do.
        """
        request: JsonObject = {"Item": to_item(fields)}
        return await self._write("PutItem", table, request, condition)

    async def update(
        self,
        table: Table,
        key: str,
        fields: Fields,
        condition: Condition | None = None,
        increments: Mapping[str, int] = MappingProxyType({}),
    ) -> Fields | None:
        """Write these attributes, and remove those that are None. What it returns is as in `put`."""
        sets = tuple([name for name, value in fields.items() if value is not None])
        removed = tuple([name for name, value in fields.items() if value is None])
        request: JsonObject = {
            "Key": _key(table, key),
            "UpdateExpression": update_expression(sets, removed, tuple(increments)),
        }
        values: JsonObject = {f":new_{name}": encoded(value) for name, value in fields.items() if value is not None}
        for name, by in increments.items():
            values[f":by_{name}"] = encoded(by)
        return await self._write("UpdateItem", table, request, condition, values)

    async def delete(self, table: Table, key: str, condition: Condition | None = None, sort: str = "") -> Fields | None:
        """Delete the item, if it is there. What it returns is as in `put`."""
        return await self._write("DeleteItem", table, {"Key": _key(table, key, sort)}, condition)

    async def get(self, table: Table, key: str, sort: str = "") -> Fields | None:
        answer = await self._ask("GetItem", table, {"Key": _key(table, key, sort), "ConsistentRead": True})
        return from_item(answer["Item"]) if "Item" in answer else None

    async def get_all(
        self, table: Table, keys: Sequence[str], fields: Sequence[str] = (), at_once: int = KEYS_AT_ONCE
    ) -> dict[str, Fields]:
        """Return those that exist, by key: all their attributes, or `fields`. `at_once`: what an answer can hold."""
        found: dict[str, Fields] = {}
        for some in batches([*dict.fromkeys(keys)], at_once):
            found |= await self._get_some(table, some, fields)
        return found

    async def _get_some(self, table: Table, keys: Sequence[str], fields: Sequence[str]) -> dict[str, Fields]:
        """Ask until all are answered: DynamoDB leaves out what is throttled or too much for one answer."""
        wanted: JsonObject = {"Keys": [{KEY: {"S": key}} for key in keys], "ConsistentRead": True}
        if fields:
            expression = ", ".join(f"#{name}" for name in dict.fromkeys((KEY, *fields)))
            wanted |= {"ProjectionExpression": expression, "ExpressionAttributeNames": {**names_in(expression)}}
        name, found, failures = f"{self._prefix}{table.name}", dict[str, Fields](), 0
        while True:
            answer = await self._ask("BatchGetItem", table, {"RequestItems": {name: wanted}})
            items = [from_item(each) for each in list_at(answer, "Responses", name)]
            found |= {str(each[KEY]): each for each in items}
            if not (left := value_at(answer, "UnprocessedKeys", name, "Keys")):
                return found
            failures = 0 if items else failures + 1
            if failures == TRIES:
                raise Temporary(self._code, f"DynamoDB kept answering nothing to BatchGetItem of table {name}")
            await back_off(CONTENTION_SECONDS * 2**failures)
            wanted["Keys"] = left

    async def query(
        self,
        table: Table,
        index: Index,
        partition: str,
        limit: int,
        *,
        low: float = 0.0,
        high: float = inf,
        descending: bool = False,
    ) -> list[Fields]:
        """Return the first items of a partition of an index, from `low` to `high`, as the index has them."""
        request = index_query(index, partition, low, high)
        if request is None:
            return []
        return await self._read(table, request | {"ScanIndexForward": not descending}, limit)

    async def query_newest(
        self, table: Table, index: Index, partition: str, limit: int, before: str = "", condition: str = ""
    ) -> list[Fields]:
        """Return the last items of a partition of an index over text: before `before`, if it is given, last first.

        `condition`, in DynamoDB's own words: those that it does not hold for are read too, and left out.
        """
        bound = f" AND #{index.sort} < :before" if before else ""
        request: JsonObject = {"IndexName": index.name, "ScanIndexForward": False}
        request["KeyConditionExpression"] = f"#{index.partition} = :partition{bound}"
        if condition:
            request["FilterExpression"] = condition
        values = {"partition": partition, "before": before or None}
        return await self._read(
            table, with_placeholders(request, placeholders(values)), limit, LOOKED_THROUGH_AT_ONCE if condition else 0
        )

    async def query_sorted(self, table: Table, key: str, limit: int, after: str, until: str = "") -> list[Fields]:
        """Return the first items of a key whose second key is after `after`, and before `until` if it is given."""
        if until and until <= after:
            return []
        condition = f"#{table.key} = :key" + (f" AND #{table.sort} < :until" if until else "")
        request: JsonObject = {"KeyConditionExpression": condition, "ConsistentRead": True}
        if after:  # it need not exist
            request["ExclusiveStartKey"] = _key(table, key, after)
        values = placeholders({"key": key, "until": until or None})
        return await self._read(table, with_placeholders(request, values), limit)

    async def _read(self, table: Table, request: JsonObject, limit: int, at_once: int = 0) -> list[Fields]:
        found: list[Fields] = []
        while True:
            answer = await self._ask("Query", table, {**request, "Limit": max(at_once, limit - len(found))})
            found += [from_item(each) for each in list_at(answer, "Items")]
            if len(found) >= limit or "LastEvaluatedKey" not in answer:
                return found[:limit]
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def count(self, table: Table, index: Index, partition: str, limit: int) -> int:
        """Count the items of a partition of an index, about as far as the limit, without reading them."""
        request = index_query(index, partition, 0.0, inf)
        assert request is not None
        count = 0
        while True:
            answer = await self._ask("Query", table, {**request, "Select": "COUNT", "Limit": limit})
            count += int(str(answer.get("Count", 0)))
            if count >= limit or "LastEvaluatedKey" not in answer:
                return count
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def scan(self, table: Table, limit: int) -> list[Fields]:
        """Return items of a small table, in any order."""
        answer = await self._ask("Scan", table, {"Limit": limit, "ConsistentRead": True})
        return [from_item(each) for each in list_at(answer, "Items")]

    async def _write(
        self,
        action: str,
        table: Table,
        request: JsonObject,
        condition: Condition | None,
        values: JsonObject | None = None,
    ) -> Fields | None:
        """`values` stand for placeholders of the request's expressions, encoded."""
        if condition is not None:
            request["ConditionExpression"] = condition.expression
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            values = {**(values or {}), **placeholders(condition.values)}
        answer = await self._call(action, table, with_placeholders(request, values or {}))
        if condition is not None and answer.status != 200 and error_name(answer) == CONDITION_FAILED:
            return from_item(self._parsed(answer, action, table).get("Item"))
        self._answered(answer, action, table)
        return None

    async def _ask(self, action: str, table: Table, request: JsonObject) -> JsonObject:
        answer = await self._call(action, table, request)
        return self._answered(answer, action, table)

    async def _call(self, action: str, table: Table, request: JsonObject) -> Answer:
        """Call with retries. The whole ends before a lease does: after a slow rejection there is no retry."""
        if action != "BatchGetItem":  # which names its table itself
            request = {"TableName": f"{self._prefix}{table.name}", **request}
        content, target = texts_json(request), f"DynamoDB_20120810.{action}"
        try:
            return await with_retries(
                # A write can safely be sent twice: a conditional write finds its condition gone, and any other writes
                # the same.
                lambda: self._client.action(target, content, CALL_SECONDS, may_repeat=True),
                is_passing_answer,
                PATIENT,
            )
        except OSError as error:
            raise Temporary(self._code, f"DynamoDB did not answer: {type(error).__name__}") from error

    def _answered(self, answer: Answer, action: str, table: Table) -> JsonObject:
        if answer.status == 200:
            return self._parsed(answer, action, table)
        name = error_name(answer) or str(answer.status)
        raise Temporary(self._code, f"DynamoDB answered {name} to {action} of {self._named(table)}{WHY.get(name, '')}")

    def _parsed(self, answer: Answer, action: str, table: Table) -> JsonObject:
        try:
            document = from_json(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Temporary(self._code, f"DynamoDB's answer to {action} of {self._named(table)} is not a JSON object")
        return document

    def _named(self, table: Table) -> str:
        return f"table {self._prefix}{table.name}"


def is_expired(fields: Fields, now: float) -> bool:
    """Return whether DynamoDB may delete the item. This may take days, so a reader that finds the item treats it as
    gone."""
    expires_at = fields.get(EXPIRES_AT)
    return isinstance(expires_at, int | float) and expires_at <= now


def _key(table: Table, key: str, sort: str = "") -> JsonObject:
    names: JsonObject = {table.key: {"S": key}}
    return names | {table.sort: {"S": sort}} if table.sort else names


def state_shard(state: str, shard: int) -> str:
    """Return the partition of a shard's items in a state."""
    return f"{state}/{shard}"


async def read_shards(
    store: Dynamo,
    table: Table,
    index: Index,
    limit: int,
    *,
    state: str = "",
    low: float = 0.0,
    high: float = inf,
    descending: bool = False,
) -> list[Fields]:
    """Return the first `limit` items of an index, from `low` to `high`, in their order, in that state or in any.

    Fewer than `limit` are all that there are.
    """

    async def read(shard: int, count: int) -> list[Fields]:
        partition = state_shard(state, shard) if state else str(shard)
        return await store.query(table, index, partition, count, low=low, high=high, descending=descending)

    return await merge_shards(read, lambda each: moment_of(each, index), limit, descending=descending)


def moment_of(item: Fields, index: Index) -> float:
    """Return the moment by which the index sorts the item."""
    moment = item[index.sort]
    assert isinstance(moment, int | float)
    return moment
