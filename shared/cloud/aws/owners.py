"""The Owners port on DynamoDB: one item a key, and one conditional write an event, whose answer names the owner."""

from math import ceil

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import Condition, Dynamo, Fields, item_key
from shared.cloud.aws.tables import EXPIRES_AT, KEY, OWNERS


class DynamoOwners:
    def __init__(self, place: AwsPlace, table_prefix: str) -> None:
        self._store = Dynamo(place, table_prefix, "owners_unavailable")

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        item: Fields = {
            KEY: item_key(key),
            "event_id": event_id,
            "since": float(now),
            EXPIRES_AT: ceil(now + window_seconds),
        }
        is_free = Condition(f"attribute_not_exists(#{KEY}) OR #since <= :until", {"until": now - window_seconds})
        owner = await self._store.put(OWNERS, item, is_free)
        return str(owner["event_id"]) if owner else event_id

    def close(self) -> None:
        self._store.close()
