"""The DynamoDB tables of a deployment, as data: the SAM template, the local AWS and the tests create them from this.

    deliveries    the ledger's rows
    events        the journal: an event, and what was decided about it
    bodies        events' documents, only where they are kept for a shorter time than events
    dead-letters  what was given up on
    destinations  those that are disabled or paused
    owners        which event was first with a key
    grants        what instances have reserved of destinations' caps, and all other records
    documents     those of subscribers

Every write to an index costs as much as one to a small item. So an event's delivery that goes well is in as few
indexes as finding it takes, no index has an attribute that changes on the way, and what is read seldom is looked
through instead of indexed. The partition of an index over time is a shard: one partition takes 1,000 writes a second.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-general.html
"""

from dataclasses import dataclass
from typing import Final

from shared.jsontext import Json, JsonObject

KEY: Final = "key"
"""The attribute that is the key of each table but DOCUMENTS."""
EXPIRES_AT: Final = "expires_at"
"""The attribute by which DynamoDB deletes an item, in Unix seconds. It may take days, so conditions compare it too."""
RECORD_TEXT: Final = "bucket"
"""The attribute of GRANTS that has a record's text, called so since there were grants only."""
DOCUMENT_TEXT: Final = "text"
SHARD: Final = "shard"
STATE_SHARD: Final = "state_shard"
"""An item's state and shard: `held/3`, in the states that are looked for."""


@dataclass(frozen=True, slots=True)
class Index:
    """A sparse index: only items that have both attributes are in it. `sort` is a number, unless it is said to be text.

    projects  the attributes that it has beside the keys
    """

    name: str
    partition: str
    sort: str
    projects: tuple[str, ...] = ()
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a text key. It is billed by request, encrypted, and restorable to any second of 35 days.

    sort  the attribute of a second text key, by which the items of one key are sorted; empty: none
    """

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
"""The deliveries by their last attempt, but those that went well at once: `listed` finds these about as well."""
ENDPOINT_AT: Final = "endpoint_at"
FAILED: Final = "failed"
DELIVERIES_BY_ENDPOINT: Final = Index("by_endpoint", "destination", ENDPOINT_AT, (FAILED,), is_text=True)
"""The deliveries to endpoints of subscribers: no others have ENDPOINT_AT."""
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
"""All of them expire by EXPIRES_AT, where an item has it."""


def create_request(table: Table, prefix: str) -> JsonObject:
    """Return the request to CreateTable, as the API and boto3 take it."""
    keys = (table.key, table.sort) if table.sort else (table.key,)
    types = dict.fromkeys(keys, "S")
    for index in table.indexes:
        types |= {index.partition: "S", index.sort: "S" if index.is_text else "N"}
    request: JsonObject = {
        "TableName": f"{prefix}{table.name}",
        "KeySchema": [
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
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
        "KeySchema": [
            {"AttributeName": index.partition, "KeyType": "HASH"},
            {"AttributeName": index.sort, "KeyType": "RANGE"},
        ],
        "Projection": projection,
    }
