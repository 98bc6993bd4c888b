"""The Documents port on Firestore: a document each, which a range of names finds in order.

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
END: Final = ";"
"""The character after the `:` of a name: what all names of a partition come before."""


class Place(NamedTuple):
    """The collection of a store, which has one partition if its names have a prefix.

    fields  the one with the text; or those that the text has as a JSON object
    prefix  what the names begin with, before an id that may be any text; None: names are `<partition>:<id>`
    mark    the field by which a write knows its own document where an answer was lost; else the write seems to have
            found another version, and whoever decides by the document decides again: a field more costs more
    """

    collection: str
    fields: Sequence[str]
    prefix: str | None = None
    mark: str = ""

    def name(self, partition: str, id: str) -> str:
        return f"{partition}:{id}" if self.prefix is None else document_id(self.prefix + id)


PLACES: Final[Mapping[DocumentStore, Place]] = {
    "documents": Place(DOCUMENTS, (DOCUMENT_TEXT,), mark=DOCUMENT_MARK),
    "records": Place(GRANTS, (RECORD_TEXT,), "record."),  # no name of a grant, which is a destination's, has a dot
    "grants": Place(GRANTS, (RECORD_TEXT,), ""),
    "owners": Place(OWNERS, ("event_id", "since"), ""),
}


class FirestoreDocuments:
    def __init__(self, client: firestore.Firestore, store: DocumentStore = "documents") -> None:
        self._firestore = client
        self._place = PLACES[store]

    async def get(self, partition: str, id: str) -> Document | None:
        found = await self._firestore.find(
            self._place.collection, [self._place.name(partition, id)], self._place.fields
        )
        return self._document(id, found[0]) if found else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Ask for a quarter as many where they are more than an answer may hold."""
        found: list[Document] = []
        at_once = AT_ONCE
        while len(found) < limit:
            wanted = min(at_once, limit - len(found))
            try:
                some = await self._some(partition, wanted, after, until)
            except firestore.TooLarge:
                if wanted == 1:
                    raise
                at_once = max(1, wanted // 4)
                continue
            found += some
            if len(some) < wanted:
                break
            after = some[-1].id
        return found

    async def _some(self, partition: str, limit: int, after: str, until: str) -> list[Document]:
        collection = self._place.collection
        end = self._place.name(partition, until) if until else f"{partition}{END}"
        bounds = [
            Where(NAME, "GREATER_THAN", self._firestore.name(collection, self._place.name(partition, after))),
            Where(NAME, "LESS_THAN", self._firestore.name(collection, end)),
        ]
        query = query_document(collection, bounds, order_by=NAME, limit=limit, select=self._place.fields)
        found = await self._firestore.query(query)
        return [self._document(each.id.partition(":")[2], each) for each in found]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        name = self._place.name(partition, id)
        mark_field = self._place.mark
        own_mark = token_hex(8)
        fields: dict[str, Value] = {**fields_of(text, self._place.fields)}
        if mark_field:
            fields[mark_field] = own_mark
        if expires_at is not None:
            fields[EXPIRE_AT] = Moment(expires_at)
        is_new = expected == NO_VERSION
        write = Write(self._place.collection, name, fields, is_new=is_new, version=expected or "")
        version = await self._firestore.write_if(write)
        if version is not None or not mark_field:
            return version
        found = await self._firestore.find(self._place.collection, [name], (mark_field,))
        return found[0].version if found and found[0].fields.get(mark_field) == own_mark else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        deletion = Write(self._place.collection, self._place.name(partition, id), None, version=expected or "")
        if expected != NO_VERSION and await self._firestore.write_if(deletion) is not None:
            return True
        return await self.get(partition, id) is None

    def close(self) -> None:
        self._firestore.close()

    def _document(self, id: str, found: firestore.Document) -> Document:
        return Document(id, text_of(found.fields, self._place.fields), found.version)
