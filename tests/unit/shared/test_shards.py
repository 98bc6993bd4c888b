"""Documents in shards are read as if one index held them all."""

import asyncio

from hypothesis import given, strategies as st

from shared.cloud.gcp import firestore, firestore_values
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.shards import shard_of
from shared.jsontext import JsonObject
from tests.gcp.firestore_memory import MemoryStore


class Reader(firestore.Firestore):
    """Reads a store in memory without a server."""

    def __init__(self, moments: list[int]) -> None:
        super().__init__("http://localhost", "p", "d", no_authorization)
        self.memory = MemoryStore()
        self.read = 0
        fields = [
            {
                "at": firestore.sharded("crm/", shard_of(str(number)), moment),
                "other": firestore.sharded("crn/", 0, moment),
            }
            for number, moment in enumerate(moments)
        ]
        writes = [firestore_values.Write("c", str(number), each) for number, each in enumerate(fields)]
        self.memory.write([firestore_values.write_document(each, f"d/c/{each.id}") for each in writes])

    async def query(self, query: JsonObject) -> list[firestore.Document]:
        found = self.memory.query("d", query)
        self.read += max(1, len(found))
        return [firestore.Document(str(each["name"]), firestore_values.from_fields(each)) for each in found]


def moments_read(reader: Reader, limit: int, low: int, high: int, *, descending: bool) -> list[int]:
    call = firestore.read_shards(reader, "c", "at", limit, prefix="crm/", low=low, high=high, descending=descending)
    return [firestore.moment_of(each, "at") for each in asyncio.run(call)]


@given(
    st.lists(st.integers(0, 50), max_size=60), st.integers(1, 40), st.integers(0, 50), st.integers(0, 50), st.booleans()
)
def test_the_first_of_all_shards_are_read_in_order(
    moments: list[int], limit: int, low: int, high: int, descending: bool
) -> None:
    wanted = sorted((each for each in moments if low <= each < high), reverse=descending)[:limit]
    assert moments_read(Reader(moments), limit, low, high, descending=descending) == wanted
