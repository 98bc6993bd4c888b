"""A client of DynamoDB: it reads, queries and writes items. dynamo_values.py has DynamoDB's JSON of them.

A write may have a condition. If the condition does not hold, DynamoDB's answer has the stored item, so the caller can
decide again without reading it. A write whose answer was lost is sent again, and may then fail because of its own first
try. So items have a mark of their last write, by which the caller recognises that.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Final, NamedTuple

from shared.batching import batches
from shared.cloud.aws import dynamo_values
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name, is_temporary_answer
from shared.cloud.aws.tables import EXPIRES_AT, KEY, Index, Table
from shared.cloud.retries import PATIENT, with_retries
from shared.cloud.shards import merge_shards
from shared.errors import Temporary, TemporaryCode
from shared.jsontext import JsonObject, from_json, list_at, texts_json, value_at
from shared.outgoing.http_client import MAX_ANSWER_BYTES, Answer
from shared.time_bound import back_off

CALL_SECONDS: Final = 5.0
TRIES: Final = 5
"""The most tries of a read of many items while DynamoDB returns none, and of a write of the ledger or the journal while
other writes are faster."""
CONTENTION_SECONDS: Final = 0.05
"""The usual wait before the second try of such a read, or of a write of the journal. For a read, it doubles with each
answer without items."""
KEYS_AT_ONCE: Final = 100
"""The number of keys that DynamoDB accepts in one BatchGetItem."""
LOOKED_THROUGH_AT_ONCE: Final = 1_000
"""The number of items that a query with a filter reads in one call: most of them may be left out."""
CONDITION_FAILED: Final = "ConditionalCheckFailedException"
CAUSES: Final[Mapping[str, str]] = {
    "AccessDeniedException": ": the function's role lacks a permission there",
    "ResourceNotFoundException": ": there is no such table; a deployment makes it",
}
NO_VALUES: Final[dynamo_values.Fields] = MappingProxyType({})


class Condition(NamedTuple):
    """A condition expression of DynamoDB. `#name` stands for an attribute, and `:name` for a value."""

    expression: str
    values: dynamo_values.Fields = NO_VALUES


class Dynamo:
    """The tables of a deployment, whose names begin with `table_prefix`.

    Each method raises Temporary with the code `code` if DynamoDB does not answer, or rejects the request.
    """

    def __init__(
        self, place: AwsPlace, table_prefix: str, code: TemporaryCode, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self._client = AwsClient(place, "dynamodb", max_answer_bytes=max_answer_bytes)
        self._prefix = table_prefix
        self._code: TemporaryCode = code

    def close(self) -> None:
        self._client.close()

    async def put(
        self, table: Table, fields: dynamo_values.Fields, condition: Condition | None = None
    ) -> dynamo_values.Fields | None:
        """Write the whole item. Return None if it was written.

        Return the stored item if the condition does not hold. It is empty if no item is stored.
        """
        request: JsonObject = {"Item": dynamo_values.to_item(fields)}
        return await self._write("PutItem", table, request, condition)

    async def update(
        self,
        table: Table,
        key: str,
        fields: dynamo_values.Fields,
        condition: Condition | None = None,
        increments: Mapping[str, int] = MappingProxyType({}),
    ) -> dynamo_values.Fields | None:
        """Write these attributes, and remove those that are None. What it returns is as in `put`."""
        sets = tuple([name for name, value in fields.items() if value is not None])
        removed = tuple([name for name, value in fields.items() if value is None])
        request: JsonObject = {
            "Key": _key(table, key),
            "UpdateExpression": dynamo_values.update_expression(sets, removed, tuple(increments)),
        }
        values: JsonObject = {
            f":new_{name}": dynamo_values.encoded(value) for name, value in fields.items() if value is not None
        }
        for name, by in increments.items():
            values[f":by_{name}"] = dynamo_values.encoded(by)
        return await self._write("UpdateItem", table, request, condition, values)

    async def delete(
        self, table: Table, key: str, condition: Condition | None = None, sort: str = ""
    ) -> dynamo_values.Fields | None:
        """Delete the item, if it is there. What it returns is as in `put`."""
        return await self._write("DeleteItem", table, {"Key": _key(table, key, sort)}, condition)

    async def get(self, table: Table, key: str, sort: str = "") -> dynamo_values.Fields | None:
        """Return the item with strong consistency; None if there is none."""
        answer = await self._ask("GetItem", table, {"Key": _key(table, key, sort), "ConsistentRead": True})
        return dynamo_values.from_item(answer["Item"]) if "Item" in answer else None

    async def get_all(
        self, table: Table, keys: Sequence[str], fields: Sequence[str] = (), at_once: int = KEYS_AT_ONCE
    ) -> dict[str, dynamo_values.Fields]:
        """Return the items that exist, by key, with all attributes or only `fields` and the key. Strongly consistent.

        `at_once` is the number of items for which one answer has room.
        """
        items: dict[str, dynamo_values.Fields] = {}
        for some_keys in batches([*dict.fromkeys(keys)], at_once):  # DynamoDB rejects a key that comes twice
            items |= await self._get_some(table, some_keys, fields)
        return items

    async def _get_some(
        self, table: Table, keys: Sequence[str], fields: Sequence[str]
    ) -> dict[str, dynamo_values.Fields]:
        """Ask until all are answered: DynamoDB leaves out what is throttled or too much for one answer."""
        wanted: JsonObject = {"Keys": [{KEY: {"S": key}} for key in keys], "ConsistentRead": True}
        if fields:
            expression = ", ".join(f"#{name}" for name in dict.fromkeys((KEY, *fields)))
            wanted |= {
                "ProjectionExpression": expression,
                "ExpressionAttributeNames": {**dynamo_values.names_in(expression)},
            }
        name = f"{self._prefix}{table.name}"
        found: dict[str, dynamo_values.Fields] = {}
        failures = 0
        while True:
            answer = await self._ask("BatchGetItem", table, {"RequestItems": {name: wanted}})
            items = [dynamo_values.from_item(each) for each in list_at(answer, "Responses", name)]
            found |= {str(each[KEY]): each for each in items}
            if not (left := value_at(answer, "UnprocessedKeys", name, "Keys")):
                return found
            failures = 0 if items else failures + 1
            if failures == TRIES:
                raise Temporary(self._code, f"DynamoDB kept answering nothing to BatchGetItem of table {name}")
            await back_off(CONTENTION_SECONDS * 2**failures)
            wanted["Keys"] = left

    async def query_index(
        self,
        table: Table,
        index: Index,
        partition: str,
        limit: int,
        *,
        low: float = 0.0,
        high: float = inf,
        descending: bool = False,
    ) -> list[dynamo_values.Fields]:
        """Return the first items of a partition of an index over numbers, from `low` to `high`, both included.

        They have only the attributes that the index projects. The index may be a moment behind the table.
        """
        request = dynamo_values.index_query(index, partition, low, high)
        if request is None:
            return []
        return await self._read(table, request | {"ScanIndexForward": not descending}, limit)

    async def query_text_index(
        self, table: Table, index: Index, partition: str, limit: int, before: str = "", condition: str = ""
    ) -> list[dynamo_values.Fields]:
        """Return the last items of a partition of an index over text, before `before` if it is given, last first.

        `condition` is a filter expression of DynamoDB. The items that do not fulfil it are read too, but not returned.
        """
        bound = f" AND #{index.sort} < :before" if before else ""
        # A value that is None gets no placeholder, because DynamoDB rejects one that no expression uses.
        request: JsonObject = {"IndexName": index.name, "ScanIndexForward": False}
        request["KeyConditionExpression"] = f"#{index.partition} = :partition{bound}"
        if condition:
            request["FilterExpression"] = condition
        values = {"partition": partition, "before": before or None}
        return await self._read(
            table,
            dynamo_values.with_placeholders(request, dynamo_values.placeholders(values)),
            limit,
            LOOKED_THROUGH_AT_ONCE if condition else 0,
        )

    async def query_table(
        self, table: Table, key: str, limit: int, after: str, until: str = ""
    ) -> list[dynamo_values.Fields]:
        """Return the first items of a partition whose sort key is after `after`, and before `until` if it is given.

        The table itself is read, with strong consistency. `key` is the partition's key. No item needs to have the sort
        key `after`.
        """
        if until and until <= after:
            return []
        condition = f"#{table.key} = :key" + (f" AND #{table.sort} < :until" if until else "")
        request: JsonObject = {"KeyConditionExpression": condition, "ConsistentRead": True}
        if after:
            request["ExclusiveStartKey"] = _key(table, key, after)
        values = dynamo_values.placeholders({"key": key, "until": until or None})
        return await self._read(table, dynamo_values.with_placeholders(request, values), limit)

    async def _read(
        self, table: Table, request: JsonObject, limit: int, at_once: int = 0
    ) -> list[dynamo_values.Fields]:
        """Return the first `limit` items of a query, page by page. `at_once` is the least number that a page reads."""
        found: list[dynamo_values.Fields] = []
        while True:
            answer = await self._ask("Query", table, {**request, "Limit": max(at_once, limit - len(found))})
            found += [dynamo_values.from_item(each) for each in list_at(answer, "Items")]
            if len(found) >= limit or "LastEvaluatedKey" not in answer:
                return found[:limit]
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def count(self, table: Table, index: Index, partition: str, limit: int) -> int:
        """Count the items of a partition of an index, without returning them.

        Once the count has reached `limit`, it stops. It may then be higher than `limit` by a page.
        """
        request = dynamo_values.index_query(index, partition, 0.0, inf)
        assert request is not None  # it is None for an empty range only
        count = 0
        while True:
            answer = await self._ask("Query", table, {**request, "Select": "COUNT", "Limit": limit})
            count += int(str(answer.get("Count", 0)))
            if count >= limit or "LastEvaluatedKey" not in answer:
                return count
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def _write(
        self,
        action: str,
        table: Table,
        request: JsonObject,
        condition: Condition | None,
        values: JsonObject | None = None,
    ) -> dynamo_values.Fields | None:
        """Send a write. What it returns is as in `put`. `values`: the encoded values of the request's placeholders."""
        if condition is not None:
            request["ConditionExpression"] = condition.expression
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            values = {**(values or {}), **dynamo_values.placeholders(condition.values)}
        answer = await self._send(action, table, dynamo_values.with_placeholders(request, values or {}))
        if condition is not None and answer.status != 200 and error_name(answer) == CONDITION_FAILED:
            return dynamo_values.from_item(self._document(answer, action, table).get("Item"))
        self._document_if_done(answer, action, table)
        return None

    async def _ask(self, action: str, table: Table, request: JsonObject) -> JsonObject:
        """Send the request, and return the document of its answer."""
        answer = await self._send(action, table, request)
        return self._document_if_done(answer, action, table)

    async def _send(self, action: str, table: Table, request: JsonObject) -> Answer:
        """Send the request, with retries for failures that pass, and return the last answer, also an error.

        Raises Temporary if there was none. A rejection that came slowly is not retried, so that the call ends before
        the lease of its caller.
        """
        if action != "BatchGetItem":  # which names its table itself
            request = {"TableName": f"{self._prefix}{table.name}", **request}
        content, target = texts_json(request), f"DynamoDB_20120810.{action}"
        try:
            return await with_retries(
                # A write can safely be sent twice: a conditional write finds its condition gone, and any other writes
                # the same.
                lambda: self._client.action(target, content, CALL_SECONDS, may_repeat=True),
                is_temporary_answer,
                PATIENT,
            )
        except OSError as error:
            raise Temporary(self._code, f"DynamoDB did not answer: {type(error).__name__}") from error

    def _document_if_done(self, answer: Answer, action: str, table: Table) -> JsonObject:
        """Return the answer's document. Raises Temporary if the answer is an error."""
        if answer.status == 200:
            return self._document(answer, action, table)
        name = error_name(answer) or str(answer.status)
        what = f"{action} of table {self._prefix}{table.name}"
        raise Temporary(self._code, f"DynamoDB answered {name} to {what}{CAUSES.get(name, '')}")

    def _document(self, answer: Answer, action: str, table: Table) -> JsonObject:
        """Return the answer's document, also of an error. Raises Temporary if it is not a JSON object."""
        try:
            document = from_json(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            what = f"{action} of table {self._prefix}{table.name}"
            raise Temporary(self._code, f"DynamoDB's answer to {what} is not a JSON object")
        return document


def is_expired(fields: dynamo_values.Fields, now: float) -> bool:
    """Return whether DynamoDB may delete the item. This may take days, so a reader that finds the item treats it as
    gone."""
    expires_at = fields.get(EXPIRES_AT)
    return isinstance(expires_at, int | float) and expires_at <= now


def _key(table: Table, key: str, sort: str = "") -> JsonObject:
    """Return the key of an item. `sort` is its second key, for a table that has one."""
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
) -> list[dynamo_values.Fields]:
    """Return the first `limit` items of an index, from `low` to `high`, in their order, in that state or in any.

    Fewer than `limit` are all that there are.
    """

    async def read(shard: int, count: int) -> list[dynamo_values.Fields]:
        partition = state_shard(state, shard) if state else str(shard)
        return await store.query_index(table, index, partition, count, low=low, high=high, descending=descending)

    return await merge_shards(read, lambda item: moment_of(item, index), limit, descending=descending)


def moment_of(item: dynamo_values.Fields, index: Index) -> float:
    """Return the moment by which the index sorts the item."""
    moment = item[index.sort]
    assert isinstance(moment, int | float)
    return moment
