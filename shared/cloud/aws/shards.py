"""Items by time, in the shards of shared/cloud/shards.py, each a partition of an index."""

from math import inf

from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.dynamo_values import Fields
from shared.cloud.aws.tables import Index, Table
from shared.cloud.shards import merge_shards


def state_shard(state: str, shard: int) -> str:
    """Return the partition of a shard's items in a state."""
    return f"{state}/{shard}"


async def read_shards(
    store: Dynamo,
    table: Table,
    index: Index,
    limit: int,
    *,
    state: str = "",
    low: float = 0.0,
    high: float = inf,
    descending: bool = False,
) -> list[Fields]:
    """Return the first `limit` items of an index, from `low` to `high`, in their order, in that state or in any.

    Fewer than `limit` are all that there are.
    """

    async def read(shard: int, count: int) -> list[Fields]:
        partition = state_shard(state, shard) if state else str(shard)
        return await store.query(table, index, partition, count, low=low, high=high, descending=descending)

    return await merge_shards(read, lambda each: moment_of(each, index), limit, descending=descending)


def moment_of(item: Fields, index: Index) -> float:
    """Return the moment by which the index sorts the item."""
    moment = item[index.sort]
    assert isinstance(moment, int | float)
    return moment
