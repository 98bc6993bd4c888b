"""Shards of documents that are read in the order of their times.

A database accepts only a few writes a second to an index whose values only grow, such as times: 500 on Firestore, and
1,000 on DynamoDB. So each document is in one of SHARDS shards, and the index has the shard before the time. A reader
reads all shards and merges them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Final, TypeVar
from zlib import crc32

SHARDS: Final = 8
"""The number of shards. It cannot change, because each stored document has its shard's number. If larger, more writes a
second fit, and each reading makes more calls."""

Item = TypeVar("Item")


def shard_of(identity: str) -> int:
    """Return the shard of the document with this id, the same in every process and version."""
    return crc32(identity.encode()) % SHARDS


async def merge_shards(
    read: Callable[[int, int], Awaitable[list[Item]]],
    moment_of: Callable[[Item], float],
    limit: int,
    *,
    descending: bool = False,
) -> list[Item]:
    """Return the first `limit` items of all shards, in the order of their times; all of them if there are fewer.

    `read(shard, count)` returns the first items of a shard, and at most `count`. Raises what `read` raises.
    """
    # Twice the average share of a shard, so that one round is usually enough.
    at_once = min(limit, 2 * (limit // SHARDS + 1))
    while True:
        results = await asyncio.gather(*(read(shard, at_once) for shard in range(SHARDS)), return_exceptions=True)
        answers: list[list[Item]] = []
        for result in results:  # all reads have ended, so none is left running if one has failed
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        found = sorted(chain.from_iterable(answers), key=moment_of, reverse=descending)
        # A full answer may not be the end of its shard, so items after its last one may be missing: leave those out.
        ends = [moment_of(answer[-1]) for answer in answers if len(answer) == at_once]
        if ends:
            end = max(ends) if descending else min(ends)
            found = [each for each in found if (moment_of(each) >= end if descending else moment_of(each) <= end)]
        if not ends or len(found) >= limit:
            return found[:limit]
        at_once *= 2
