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


class StoreTable(NamedTuple):
    """The table of a store, and the form of its items.

    A table with a second key has partitions: its keys are the partition and the id. In any other table, the key is the
    prefix and the id.

    fields  the attribute with a document's text; or several, which the text has as a JSON object
    prefix  keeps the ids of two stores in one table apart
    """

    table: tables.Table
    fields: Sequence[str]
    prefix: str = ""

    def keys(self, partition: str, id: str) -> tuple[str, str]:
        """Return both keys of a document's item; the second is empty if the table has only one."""
        return (partition, id) if self.table.sort else (dynamo_values.item_key(self.prefix + id), "")


STORE_TABLES: Final[Mapping[DocumentStore, StoreTable]] = {
    "documents": StoreTable(tables.DOCUMENTS, (tables.DOCUMENT_TEXT,)),
    # No grant has such a key: its name is that of a destination, which has no dot.
    "records": StoreTable(tables.GRANTS, (tables.RECORD_TEXT,), "record."),
    "grants": StoreTable(tables.GRANTS, (tables.RECORD_TEXT,)),
    "owners": StoreTable(tables.OWNERS, ("event_id", "since")),
}


class DynamoDocuments:
    """The documents of one store. Each method raises Temporary with the store's code (UNAVAILABLE).

    A version is random. So if the answer to a write was lost and the write is sent again, it recognises its own
    version in the stored item.
    """

    def __init__(self, place: client.AwsPlace, table_prefix: str, store: DocumentStore = "documents") -> None:
        self._dynamo = dynamo.Dynamo(place, table_prefix, UNAVAILABLE[store])
        self._store = STORE_TABLES[store]

    async def get(self, partition: str, id: str) -> Document | None:
        key, sort = self._store.keys(partition, id)
        item = await self._dynamo.get(self._store.table, key, sort)
        return self._document(id, item) if item else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Return the documents as `Documents.page`. Only the store `documents` has pages."""
        table = self._store.table
        items = await self._dynamo.query_table(table, partition, limit, after, until)
        return [self._document(str(item[table.sort]), item) for item in items]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        table = self._store.table
        key, sort = self._store.keys(partition, id)
        version = token_hex(8)
        item: dynamo_values.Fields = {
            table.key: key,
            **({table.sort: sort} if table.sort else {}),
            **fields_of(text, self._store.fields),
            VERSION: version,
            tables.EXPIRES_AT: None if expires_at is None else ceil(expires_at),
        }
        stored = await self._dynamo.put(table, item, self._condition(expected))
        return version if stored is None or stored.get(VERSION) == version else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        key, sort = self._store.keys(partition, id)
        stored = await self._dynamo.delete(self._store.table, key, self._condition(expected), sort)
        return not stored  # None: it is deleted now. Empty: the condition failed because there is none any more

    def close(self) -> None:
        self._dynamo.close()

    def _condition(self, expected: str | None) -> dynamo.Condition | None:
        """Return the condition that the item has the version `expected`, as in `Documents.write`."""
        if expected is None:
            return None
        if expected in (NO_VERSION, UNMARKED):
            missing = self._store.table.key if expected == NO_VERSION else VERSION
            return dynamo.Condition(f"attribute_not_exists(#{missing})")
        return dynamo.Condition(f"#{VERSION} = :expected", {"expected": expected})

    def _document(self, id: str, item: dynamo_values.Fields) -> Document:
        return Document(id, text_of(item, self._store.fields), str(item.get(VERSION, UNMARKED)))
