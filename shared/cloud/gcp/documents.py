"""The Documents port on Firestore: a document each, named `<partition>:<id>`, which a range of names finds in order.

A document's version is the time of its last write. Firestore compares it, so that no write needs a transaction. A write
that finds another version reads which it is: where it has the write's own mark, an answer had been lost.
"""

from collections.abc import Sequence
from secrets import token_hex
from typing import Final

from shared.cloud.gcp.collections import DOCUMENT_MARK, DOCUMENT_TEXT, DOCUMENTS, EXPIRE_AT
from shared.cloud.gcp.firestore import NAME, Firestore, Moment, TooLarge, Value, Where, Write, query_document
from shared.cloud.gcp.firestore import Document as FoundDocument
from shared.store_ports import NO_VERSION, Document

READ: Final = (DOCUMENT_TEXT,)
AT_ONCE: Final = 500
END: Final = ";"
"""The character after the `:` of a name: what all names of a partition come before."""


class FirestoreDocuments:
    def __init__(self, store: Firestore) -> None:
        self._store = store

    async def get(self, partition: str, id: str) -> Document | None:
        found = await self._store.find(DOCUMENTS, [_name(partition, id)], READ)
        return _document(found[0]) if found else None

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        """Ask for a quarter as many where they are more than an answer may hold."""
        found: list[Document] = []
        at_once = AT_ONCE
        while len(found) < limit:
            wanted = min(at_once, limit - len(found))
            try:
                some = await self._some(partition, wanted, after, until)
            except TooLarge:
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
        end = _name(partition, until) if until else f"{partition}{END}"
        bounds = [
            Where(NAME, "GREATER_THAN", self._store.name(DOCUMENTS, _name(partition, after))),
            Where(NAME, "LESS_THAN", self._store.name(DOCUMENTS, end)),
        ]
        query = query_document(DOCUMENTS, bounds, order_by=NAME, limit=limit, select=READ)
        return [_document(each) for each in await self._store.query(query)]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        mark = token_hex(8)
        fields: dict[str, Value] = {DOCUMENT_TEXT: text, DOCUMENT_MARK: mark}
        if expires_at is not None:
            fields[EXPIRE_AT] = Moment(expires_at)
        name, is_new = _name(partition, id), expected == NO_VERSION
        version = await self._store.write_if(Write(DOCUMENTS, name, fields, is_new=is_new, version=expected or ""))
        if version is not None:
            return version
        found = await self._store.find(DOCUMENTS, [name], (DOCUMENT_MARK,))
        return found[0].version if found and found[0].fields.get(DOCUMENT_MARK) == mark else None

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        name = _name(partition, id)
        deletion = Write(DOCUMENTS, name, None, version=expected or "")
        if expected != NO_VERSION and await self._store.write_if(deletion) is not None:
            return True
        return await self.get(partition, id) is None

    def close(self) -> None:
        self._store.close()


def _name(partition: str, id: str) -> str:
    return f"{partition}:{id}"


def _document(found: FoundDocument) -> Document:
    return Document(found.id.partition(":")[2], str(found.fields[DOCUMENT_TEXT]), found.version)
