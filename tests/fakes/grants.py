from shared.cloud.grant_rules import Answer, Bucket, Decide, GrantWrites
from shared.errors import Temporary


class FakeGrants(GrantWrites):
    """A dictionary, which counts its writes. With `fault` set, it refuses instead."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.fault: str | None = None
        self.calls = 0
        self.writes = 0

    async def _change(self, bucket: str, now: float, decide: Decide[Answer]) -> Answer:
        self.calls += 1
        if self.fault:
            raise Temporary("grants_unavailable", self.fault)
        before = self.buckets.get(bucket, Bucket())
        answer, after = decide(before)
        if after is not before:
            self.writes += 1
            self.buckets[bucket] = after
        return answer
