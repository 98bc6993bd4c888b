"""The Grants port on DynamoDB: one item a bucket, and one read and one conditional write a grant."""

from math import ceil
from secrets import token_hex
from typing import Final

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import CONTENTION_SECONDS, Condition, Dynamo
from shared.cloud.aws.dynamo_values import Fields, item_key
from shared.cloud.aws.tables import EXPIRES_AT, GRANTS, KEY
from shared.cloud.grant_rules import Answer, Decide, GrantWrites, bucket_from, bucket_text
from shared.cloud.retries import back_off
from shared.errors import Temporary

TRIES: Final = 8
VERSION: Final = "version"


class DynamoGrants(GrantWrites):
    def __init__(self, place: AwsPlace, table_prefix: str) -> None:
        self._store = Dynamo(place, table_prefix, "grants_unavailable")

    async def _change(self, bucket: str, now: float, decide: Decide[Answer]) -> Answer:
        """Decide by what stands there, and decide again where another was faster."""
        key = item_key(bucket)
        found = await self._store.get(GRANTS, key)
        for number in range(TRIES):
            if number:
                await back_off(CONTENTION_SECONDS * number)
            before = bucket_from(found.get("bucket") if found else None)
            answer, after = decide(before)
            if after is before:
                return answer
            version = token_hex(4)
            item: Fields = {
                KEY: key,
                "bucket": bucket_text(after),
                VERSION: version,
                EXPIRES_AT: ceil(max(now, after.ends_at)),
            }
            found = await self._store.put(GRANTS, item, _unchanged(found))
            if found is None or found.get(VERSION) == version:  # the second: the first answer was lost
                return answer
        raise Temporary("grants_unavailable", f"DynamoDB: others kept writing {bucket}, {TRIES} times in a row")

    def close(self) -> None:
        self._store.close()


def _unchanged(found: Fields | None) -> Condition:
    if not found:
        return Condition(f"attribute_not_exists(#{KEY})")
    return Condition(f"#{VERSION} = :seen", {"seen": found[VERSION]})
