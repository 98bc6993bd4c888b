"""The Owners port on Firestore: one document a key, made by create-if-absent. A known key costs a transaction."""

from typing import Final

from shared.cloud.gcp.collections import EXPIRE_AT, OWNERS
from shared.cloud.gcp.firestore import Fields, Firestore, Moment, Write, document_id

READ: Final = ("event_id", "since")


class FirestoreOwners:
    def __init__(self, store: Firestore) -> None:
        self._store = store

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        name = document_id(key)
        fields: Fields = {"event_id": event_id, "since": float(now), EXPIRE_AT: Moment(now + window_seconds)}
        if await self._store.write_if(Write(OWNERS, name, fields, is_new=True)) is not None:
            return event_id

        def decide(found: Fields | None) -> tuple[str, Write | None]:
            if found is not None:
                owner, since = str(found["event_id"]), found["since"]
                if isinstance(since, float) and now - since < window_seconds:
                    return owner, None
            return event_id, Write(OWNERS, name, fields)

        return await self._store.transact(OWNERS, name, READ, decide)

    def close(self) -> None:
        self._store.close()
