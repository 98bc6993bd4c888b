"""Documents by time, in the shards of shared/cloud/shards.py, in one field each.

https://firebase.google.com/docs/firestore/solutions/shard-timestamp
"""

from collections.abc import Sequence
from typing import Final

from shared.cloud.gcp.firestore import Document, Firestore
from shared.cloud.gcp.firestore_values import Where, query_document
from shared.cloud.shards import merge_shards

DIGITS: Final = 16
LAST: Final = 10**DIGITS - 1


def sharded(prefix: str, shard: int, moment: int) -> str:
    """Return a text that one field's own index sorts by prefix, then by shard, then by the moment."""
    return f"{prefix}{shard}/{moment:0{DIGITS}d}"


async def read_shards(
    store: Firestore,
    collection: str,
    field: str,
    limit: int,
    *,
    prefix: str = "",
    low: int = 0,
    high: int = LAST,
    descending: bool = False,
    select: Sequence[str] = (),
) -> list[Document]:
    """Return the first `limit` documents whose moment is at `low` or later and before `high`, in their order.

    Fewer than `limit` are all that there are. `select` has to name the field.
    """

    async def read(shard: int, count: int) -> list[Document]:
        bounds = [
            Where(field, "GREATER_THAN_OR_EQUAL", sharded(prefix, shard, low)),
            Where(field, "LESS_THAN", sharded(prefix, shard, high)),
        ]
        query = query_document(collection, bounds, order_by=field, descending=descending, limit=count, select=select)
        return await store.query(query)

    return await merge_shards(read, lambda each: moment_of(each, field), limit, descending=descending)


def moment_of(document: Document, field: str) -> int:
    """Return the moment in a document's sharded field."""
    return int(str(document.fields[field])[-DIGITS:])
