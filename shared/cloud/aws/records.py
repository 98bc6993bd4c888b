"""The Records port on DynamoDB, and where grants have their records: an item each.

A change is a strongly consistent read and a write on the condition that the item is still as it was read.
"""

from math import ceil
from secrets import token_hex
from typing import Final

from shared.back_off import back_off
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import CONTENTION_SECONDS, Condition, Dynamo, Fields, item_key
from shared.cloud.aws.tables import EXPIRES_AT, GRANTS, KEY, RECORD_TEXT
from shared.errors import Temporary, TemporaryCode
from shared.store_ports import Answer, DecideRecord

TRIES: Final = 8
VERSION: Final = "version"


class DynamoRecords:
    """`prefix`: what the keys of its items begin with, so that two parts can share the table."""

    def __init__(
        self, place: AwsPlace, table_prefix: str, prefix: str = "", code: TemporaryCode = "records_unavailable"
    ) -> None:
        self._store = Dynamo(place, table_prefix, code)
        self._prefix = prefix
        self._code: TemporaryCode = code

    async def read(self, name: str) -> str | None:
        return _text(await self._store.get(GRANTS, item_key(self._prefix + name)))

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        """Decide by what stands there, and decide again where another was faster."""
        key = item_key(self._prefix + name)
        found = await self._store.get(GRANTS, key)
        for number in range(TRIES):
            if number:
                await back_off(CONTENTION_SECONDS * number)
            answer, kept = decide(_text(found))
            if kept is None:
                return answer
            version = token_hex(4)
            item: Fields = {
                KEY: key,
                RECORD_TEXT: kept.text,
                VERSION: version,
                EXPIRES_AT: ceil(max(now, kept.until)),
            }
            found = await self._store.put(GRANTS, item, _unchanged(found))
            if found is None or found.get(VERSION) == version:  # the second: the first answer was lost
                return answer
        raise Temporary(self._code, f"DynamoDB: others kept writing {name}, {TRIES} times in a row")

    def close(self) -> None:
        self._store.close()


def _text(found: Fields | None) -> str | None:
    text = found.get(RECORD_TEXT) if found else None
    return text if isinstance(text, str) else None


def _unchanged(found: Fields | None) -> Condition:
    if not found:
        return Condition(f"attribute_not_exists(#{KEY})")
    return Condition(f"#{VERSION} = :seen", {"seen": found[VERSION]})
