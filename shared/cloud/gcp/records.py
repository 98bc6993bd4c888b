"""The Records port on Firestore, and where grants have their records: a document each, and a transaction a change."""

from typing import Final

from shared.cloud.gcp.collections import EXPIRE_AT, GRANTS, RECORD_TEXT
from shared.cloud.gcp.firestore import Fields, Firestore, Moment, Write, document_id
from shared.store_ports import Answer, DecideRecord

READ: Final = (RECORD_TEXT,)


class FirestoreRecords:
    """`prefix`: what the names of its documents begin with, so that two parts can share the collection."""

    def __init__(self, store: Firestore, prefix: str = "") -> None:
        self._store = store
        self._prefix = prefix

    async def read(self, name: str) -> str | None:
        """Read the document itself: without a time to read it at, Firestore answers it as it is now."""
        document = self._document(name)
        found = await self._store.get(GRANTS, [document], READ)
        return _text(found.get(document))

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        document = self._document(name)

        def decide_fields(found: Fields | None) -> tuple[Answer, Write | None]:
            answer, kept = decide(_text(found))
            if kept is None:
                return answer, None
            return answer, Write(GRANTS, document, {RECORD_TEXT: kept.text, EXPIRE_AT: Moment(max(now, kept.until))})

        return await self._store.transact(GRANTS, document, READ, decide_fields)

    def close(self) -> None:
        self._store.close()

    def _document(self, name: str) -> str:
        return document_id(self._prefix + name)


def _text(found: Fields | None) -> str | None:
    text = found.get(RECORD_TEXT) if found else None
    return text if isinstance(text, str) else None
