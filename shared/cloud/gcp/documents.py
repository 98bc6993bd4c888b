"""The Documents port on Firestore. Each document is one of Firestore's, and a range of names finds them in order.

A document's version is the time of its last write. Firestore compares it, so that no write needs a transaction.
"""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Final, NamedTuple

from shared.cloud.gcp import firestore
from shared.cloud.gcp.collections import DOCUMENT_MARK, DOCUMENT_TEXT, DOCUMENTS, EXPIRE_AT, GRANTS, OWNERS, RECORD_TEXT
from shared.cloud.gcp.firestore_values import NAME, Moment, Value, Where, Write, document_id, query_document
from shared.cloud.kept_by_key import DocumentStore, fields_of, text_of
from shared.store_ports import NO_VERSION, Document

AT_ONCE: Final = 500
"""The number of documents that one query returns at most."""
END: Final = ";"
"""The character that follows `:` in Unicode. All names `<partition>:<id>` of a partition come before
`<partition>;`."""


class StoreCollection(NamedTuple):
    """The collection of a store, and the form of its documents.

    fields  the field with a document's text; or several, which the text has as a JSON object
    prefix  what the names begin with, before an id that may be any text. Such a store has one partition. None: names
            are `<partition>:<id>`
    mark    the field with a random mark of the last write; empty if the store has none. If the answer to a write was
            lost and the write is sent again, it recognises its own document by the mark. Without one, it seems that
            another write was faster: the caller then decides again, which costs less than one field more in each write
    """

    collection: str
    fields: Sequence[str]
    prefix: str | None = None
    mark: str = ""

    def name(self, partition: str, id: str) -> str:
        return f"{partition}:{id}" if self.prefix is None else document_id(self.prefix + id)


STORE_COLLECTIONS: Final[Mapping[DocumentStore, StoreCollection]] = {
    "documents": StoreCollection(DOCUMENTS, (DOCUMENT_TEXT,), mark=DOCUMENT_MARK),
    # No grant has such a name: it is that of a destination, which has no dot.
    "records": StoreCollection(GRANTS, (RECORD_TEXT,), "record."),
    "grants": StoreCollection(GRANTS, (RECORD_TEXT,), ""),
    "owners": StoreCollection(OWNERS, ("event_id", "since"), ""),
}


class FirestoreDocuments:
    """The documents of one store. Each method raises Temporary with the code that `client` was made with."""

    def __init__(self, client: firestore.Firestore, store: DocumentStore = "documents") -> None:
        self._firestore = client
        self._store = STORE_COLLECTIONS[store]

    async def get(self, partition: str, id: str) -> Document | None:
        stored = await self._firestore.find(
            self._store.collection, [self._store.name(partition, id)], self._store.fields
        )
        return self._document(id, stored[0]) if stored else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Return the documents as `Documents.page`. Only the store `documents` has pages.

        If an answer is too large, all further queries are for a quarter as many documents.
        """
        documents: list[Document] = []
        at_once = AT_ONCE
        while len(documents) < limit:
            wanted = min(at_once, limit - len(documents))
            try:
                next_documents = await self._query(partition, wanted, after, until)
            except firestore.TooLarge:
                if wanted == 1:
                    raise
                at_once = max(1, wanted // 4)
                continue
            documents += next_documents
            if len(next_documents) < wanted:
                break
            after = next_documents[-1].id
        return documents

    async def _query(self, partition: str, limit: int, after: str, until: str) -> list[Document]:
        collection = self._store.collection
        end = self._store.name(partition, until) if until else f"{partition}{END}"
        bounds = [
            Where(NAME, "GREATER_THAN", self._firestore.name(collection, self._store.name(partition, after))),
            Where(NAME, "LESS_THAN", self._firestore.name(collection, end)),
        ]
        query = query_document(collection, bounds, order_by=NAME, limit=limit, select=self._store.fields)
        stored = await self._firestore.query(query)
        return [self._document(each.id.partition(":")[2], each) for each in stored]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        name = self._store.name(partition, id)
        mark_field = self._store.mark
        own_mark = token_hex(8)
        fields: dict[str, Value] = {**fields_of(text, self._store.fields)}
        if mark_field:
            fields[mark_field] = own_mark
        if expires_at is not None:
            fields[EXPIRE_AT] = Moment(expires_at)
        is_new = expected == NO_VERSION
        write = Write(self._store.collection, name, fields, is_new=is_new, version=expected or "")
        version = await self._firestore.write_if(write)
        if version is not None or not mark_field:
            return version
        # The document has another version. It may be that of this write, whose first answer was lost.
        stored = await self._firestore.find(self._store.collection, [name], (mark_field,))
        return stored[0].version if stored and stored[0].fields.get(mark_field) == own_mark else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        deletion = Write(self._store.collection, self._store.name(partition, id), None, version=expected or "")
        if expected != NO_VERSION and await self._firestore.write_if(deletion) is not None:
            return True
        return await self.get(partition, id) is None

    def close(self) -> None:
        self._firestore.close()

    def _document(self, id: str, stored: firestore.Document) -> Document:
        return Document(id, text_of(stored.fields, self._store.fields), stored.version)
