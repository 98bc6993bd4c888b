"""The Grants port on Firestore: one document a bucket, and one transaction a grant."""

from typing import Final

from shared.cloud.gcp.collections import EXPIRE_AT, GRANTS
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.firestore_values import Fields, Moment, Write, document_id
from shared.cloud.grant_rules import Answer, Decide, GrantWrites, bucket_from, bucket_text

READ: Final = ("bucket",)


class FirestoreGrants(GrantWrites):
    def __init__(self, store: Firestore) -> None:
        self._store = store

    async def _change(self, bucket: str, now: float, decide: Decide[Answer]) -> Answer:
        name = document_id(bucket)

        def decide_fields(found: Fields | None) -> tuple[Answer, Write | None]:
            before = bucket_from(found.get("bucket") if found else None)
            answer, after = decide(before)
            if after is before:
                return answer, None
            fields: Fields = {"bucket": bucket_text(after), EXPIRE_AT: Moment(max(now, after.ends_at))}
            return answer, Write(GRANTS, name, fields)

        return await self._store.transact(GRANTS, name, READ, decide_fields)

    def close(self) -> None:
        self._store.close()
