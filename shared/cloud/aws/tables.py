"""The DynamoDB tables of a deployment, as data: the SAM template, the local AWS and the tests create them from this.

    deliveries    one event owed to one destination each: the ledger's rows
    events        the journal: each event, and what was decided about it
    bodies        the events' documents, if they are kept for a shorter time than the events
    dead-letters  the messages that were given up on
    destinations  the destinations that are disabled or paused
    owners        which event was the first with an idempotency key
    grants        the slots that instances have reserved under destinations' rate limits, and all other records
    documents     the tenants, endpoints and other documents of subscribers

Writing an index entry costs as much as writing a small item. A delivery that succeeds is therefore only in the indexes
that are needed to find it, these hold no attribute that changes on its way, and rare questions are answered by a scan.
A partition takes 1,000 writes a second, so an index over time is spread over several partitions (shards).
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-general.html
"""

from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json, JsonObject

KEY: Final = "key"
"""The attribute that is the key of each table except DOCUMENTS."""
EXPIRES_AT: Final = "expires_at"
"""The time at which DynamoDB may delete an item, in Unix seconds. It can be days late, so conditions compare it too."""
RECORD_TEXT: Final = "bucket"
"""The attribute of GRANTS with a record's text. Its name is from its first use, the bucket of a grant."""
DOCUMENT_TEXT: Final = "text"
SHARD: Final = "shard"
STATE_SHARD: Final = "state_shard"
"""An item's state and shard, such as `held/3`. Only items in a state that is searched for have it."""


@dataclass(frozen=True, slots=True)
class Index:
    """A sparse index: it contains only the items that have both of its keys, `partition` and `sort`.

    projects  the attributes that an entry has beside the keys
    is_text   `sort` is a text instead of a number
    """

    name: str
    partition: str
    sort: str
    projects: tuple[str, ...] = ()
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a text key, or with two: items with the same `key` are sorted by `sort`, if it is not empty."""

    name: str
    indexes: tuple[Index, ...] = ()
    key: str = KEY
    sort: str = ""


DUE: Final = Index("due", SHARD, "retry_at")
"""The deliveries that wait for a retry."""
LISTED_DELIVERIES: Final = Index("listed", SHARD, "created_at", ("destination",))
DELIVERIES_BY_STATE: Final = Index("by_state", STATE_SHARD, "created_at", ("destination",))
"""The deliveries that wait, are held or failed."""
DELIVERIES_BY_EVENT: Final = Index("by_event", "event_id", "created_at")
ENDED: Final = Index("ended", SHARD, "ended_at")
"""The deliveries by the end of their last attempt. A delivery that succeeded at once is left out: `listed` has it at
about the same place."""
ENDPOINT_AT: Final = "endpoint_at"
FAILED: Final = "failed"
DELIVERIES_BY_ENDPOINT: Final = Index("by_endpoint", "destination", ENDPOINT_AT, (FAILED,), is_text=True)
"""The deliveries to the endpoints of subscribers. Only these have ENDPOINT_AT."""
LISTED_EVENTS: Final = Index("listed", SHARD, "seq", ("source", "type"))
LETTERS_BY_STATE: Final = Index("by_state", STATE_SHARD, "seq")
LETTERS_BY_EVENT: Final = Index("by_event", "event_id", "seq", ("state",))

DELIVERIES: Final = Table(
    "deliveries",
    (DUE, LISTED_DELIVERIES, DELIVERIES_BY_STATE, DELIVERIES_BY_EVENT, ENDED, DELIVERIES_BY_ENDPOINT),
)
EVENTS: Final = Table("events", (LISTED_EVENTS,))
BODIES: Final = Table("bodies")
DEAD_LETTERS: Final = Table("dead-letters", (LETTERS_BY_STATE, LETTERS_BY_EVENT))
DESTINATIONS: Final = Table("destinations")
OWNERS: Final = Table("owners")
GRANTS: Final = Table("grants")
DOCUMENTS: Final = Table("documents", key="partition", sort="id")

TABLES: Final = (DELIVERIES, EVENTS, BODIES, DEAD_LETTERS, DESTINATIONS, OWNERS, GRANTS, DOCUMENTS)
"""In each of them, an item that has EXPIRES_AT is deleted after that time."""


def create_request(table: Table, prefix: str) -> JsonObject:
    """Return the request to CreateTable, as the API and boto3 take it."""
    attribute_types = {table.key: "S"}
    if table.sort:
        attribute_types[table.sort] = "S"
    for index in table.indexes:
        attribute_types |= {index.partition: "S", index.sort: "S" if index.is_text else "N"}
    request: JsonObject = {
        "TableName": f"{prefix}{table.name}",
        "KeySchema": _key_schema(table.key, table.sort),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": type} for name, type in attribute_types.items()
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if table.indexes:
        request["GlobalSecondaryIndexes"] = [_index_document(index) for index in table.indexes]
    return request


def _index_document(index: Index) -> Json:
    projection: JsonObject = {"ProjectionType": "KEYS_ONLY"}
    if index.projects:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": [*index.projects]}
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(index.partition, index.sort),
        "Projection": projection,
    }


def _key_schema(partition: str, sort: str) -> list[Json]:
    keys: list[Json] = [{"AttributeName": partition, "KeyType": "HASH"}]
    if sort:
        keys.append({"AttributeName": sort, "KeyType": "RANGE"})
    return keys
