"""Documents by time, in shards, which a reader asks all and merges.

An index of values that only grow takes 500 writes a second, so a time that a query asks for stands behind a shard.

https://firebase.google.com/docs/firestore/solutions/shard-timestamp
"""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Final
from zlib import crc32

from shared.cloud.gcp.firestore import Document, Firestore
from shared.cloud.gcp.firestore_values import Where, query_document

SHARDS: Final = 8
DIGITS: Final = 16
LAST: Final = 10**DIGITS - 1


def shard_of(identity: str) -> int:
    return crc32(identity.encode()) % SHARDS


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
    at_once = min(limit, 2 * (limit // SHARDS + 1))  # of each shard: more than its share, to be done in one turn
    while True:
        queries = [
            query_document(
                collection,
                [
                    Where(field, "GREATER_THAN_OR_EQUAL", sharded(prefix, shard, low)),
                    Where(field, "LESS_THAN", sharded(prefix, shard, high)),
                ],
                order_by=field,
                descending=descending,
                limit=at_once,
                select=select,
            )
            for shard in range(SHARDS)
        ]
        results = await asyncio.gather(*(store.query(query) for query in queries), return_exceptions=True)
        answers: list[list[Document]] = []
        for result in results:  # all have ended: where one fails, none is left behind
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        found = sorted(chain.from_iterable(answers), key=lambda each: moment_of(each, field), reverse=descending)
        # What lies beyond the last document of a shard that has more is not complete.
        ends = [moment_of(answer[-1], field) for answer in answers if len(answer) == at_once]
        if ends:
            end = max(ends) if descending else min(ends)
            is_whole = end.__le__ if descending else end.__ge__
            found = [each for each in found if is_whole(moment_of(each, field))]
        if not ends or len(found) >= limit:
            return found[:limit]
        at_once *= 2


def moment_of(document: Document, field: str) -> int:
    """Return the moment in a document's sharded field."""
    return int(str(document.fields[field])[-DIGITS:])
