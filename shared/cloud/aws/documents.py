"""The Documents port on DynamoDB: an item each."""

from collections.abc import Mapping, Sequence
from math import ceil
from secrets import token_hex
from typing import Final, NamedTuple

from shared.cloud.aws import client, dynamo, dynamo_values, tables
from shared.cloud.kept_by_key import UNAVAILABLE, DocumentStore, fields_of, text_of
from shared.store_ports import NO_VERSION, Document

VERSION: Final = "version"
UNMARKED: Final = "unmarked"
"""The version of an item of an earlier release, which has none."""


class Place(NamedTuple):
    """The table of a store, which has one partition if its items have no second key.

    fields  the attribute with the text; or those that the text has as a JSON object
    prefix  what the keys of its items begin with, where a table has no second key
    """

    table: tables.Table
    fields: Sequence[str]
    prefix: str = ""

    def keys(self, partition: str, id: str) -> tuple[str, str]:
        return (partition, id) if self.table.sort else (dynamo_values.item_key(self.prefix + id), "")


PLACES: Final[Mapping[DocumentStore, Place]] = {
    "documents": Place(tables.DOCUMENTS, (tables.DOCUMENT_TEXT,)),
    "records": Place(
        tables.GRANTS, (tables.RECORD_TEXT,), "record."
    ),  # no name of a grant, which is a destination's, has a dot
    "grants": Place(tables.GRANTS, (tables.RECORD_TEXT,)),
    "owners": Place(tables.OWNERS, ("event_id", "since")),
}


class DynamoDocuments:
    """A version is drawn at random, so that a write whose answer was lost finds its own."""

    def __init__(self, place: client.AwsPlace, table_prefix: str, store: DocumentStore = "documents") -> None:
        self._dynamo = dynamo.Dynamo(place, table_prefix, UNAVAILABLE[store])
        self._place = PLACES[store]

    async def get(self, partition: str, id: str) -> Document | None:
        key, sort = self._place.keys(partition, id)
        found = await self._dynamo.get(self._place.table, key, sort)
        return self._document(id, found) if found else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        table = self._place.table
        found = await self._dynamo.query_sorted(table, partition, limit, after, until)
        return [self._document(str(each[table.sort]), each) for each in found]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        table = self._place.table
        key, sort = self._place.keys(partition, id)
        version = token_hex(8)
        item: dynamo_values.Fields = {
            table.key: key,
            **({table.sort: sort} if table.sort else {}),
            **fields_of(text, self._place.fields),
            VERSION: version,
            tables.EXPIRES_AT: None if expires_at is None else ceil(expires_at),
        }
        found = await self._dynamo.put(table, item, self._condition(expected))
        return version if found is None or found.get(VERSION) == version else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        key, sort = self._place.keys(partition, id)
        found = await self._dynamo.delete(self._place.table, key, self._condition(expected), sort)
        return not found  # empty where there is none any more

    def close(self) -> None:
        self._dynamo.close()

    def _condition(self, expected: str | None) -> dynamo.Condition | None:
        if expected is None:
            return None
        if expected in (NO_VERSION, UNMARKED):
            missing = self._place.table.key if expected == NO_VERSION else VERSION
            return dynamo.Condition(f"attribute_not_exists(#{missing})")
        return dynamo.Condition(f"#{VERSION} = :expected", {"expected": expected})

    def _document(self, id: str, found: dynamo_values.Fields) -> Document:
        return Document(id, text_of(found, self._place.fields), str(found.get(VERSION, UNMARKED)))
