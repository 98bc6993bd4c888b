"""Dead letters on DynamoDB: read, with their messages from wherever those rest, and marked."""

import asyncio
from collections.abc import Callable, Sequence
from heapq import nlargest
from math import inf
from typing import Final

from deploy.history.journal_view import DROPPED, REPLAYED, DeadLetterRow
from shared.batching import batches
from shared.cloud.aws.dynamo import Condition, Dynamo, is_expired
from shared.cloud.aws.dynamo_values import Fields, item_key
from shared.cloud.aws.journal import letter_state
from shared.cloud.aws.shards import read_shards, state_shard
from shared.cloud.aws.tables import DEAD_LETTERS, KEY, LETTERS_BY_EVENT, LETTERS_BY_STATE
from shared.cloud.journal_entries import erased_dead_letter, parsed_entry
from shared.cloud.shards import SHARDS
from shared.journal import KEPT
from shared.jsontext import to_json
from shared.ports import Blobs

STATES: Final = (KEPT, REPLAYED, DROPPED)
LETTERS_AT_ONCE: Final = 17
"""Each of 350,000 bytes at most, which base64 makes a third longer on the way: what one answer can hold."""
MAX_COUNTED: Final = 10_000
MAX_OF_EVENT: Final = 1_000
AT_ONCE: Final = 25


class LetterReader:
    """`now` is the time by which what has expired is left out."""

    def __init__(self, store: Dynamo, blobs: Blobs | None, now: Callable[[], float]) -> None:
        self._store = store
        self._blobs = blobs
        self._now = now

    async def entries(self, limit: int, state: str | None, before: int | None = None) -> list[Fields]:
        """Return the newest letters as the index has them, which is without their contents."""
        high = inf if before is None else before - 1
        found = await asyncio.gather(
            *(
                read_shards(self._store, DEAD_LETTERS, LETTERS_BY_STATE, limit, state=each, high=high, descending=True)
                for each in (STATES if state is None else (state,))
            )
        )
        return nlargest(limit, (entry for some in found for entry in some), key=_seq_of)

    async def newest(self, limit: int, state: str | None, before: int | None) -> tuple[DeadLetterRow, ...]:
        return await self._rows([str(each[KEY]) for each in await self.entries(limit, state, before)])

    async def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]:
        """Return them oldest first."""
        found = await self._store.query(DEAD_LETTERS, LETTERS_BY_EVENT, event_id, MAX_OF_EVENT)
        return (await self._rows([str(each[KEY]) for each in found]))[::-1]

    async def one(self, dead_letter_id: str) -> DeadLetterRow | None:
        rows = await self._rows([item_key(dead_letter_id)])
        return rows[0] if rows else None

    async def kept(self) -> int:
        """Return the number of dead letters, at most MAX_COUNTED."""
        counts = await asyncio.gather(
            *(
                self._store.count(DEAD_LETTERS, LETTERS_BY_STATE, state_shard(KEPT, shard), MAX_COUNTED)
                for shard in range(SHARDS)
            )
        )
        return min(sum(counts), MAX_COUNTED)

    async def mark(self, ids: Sequence[str], state: str) -> int:
        """A few at a time: each at once takes a connection of its own."""
        count = 0
        for some in batches(ids, AT_ONCE):
            count += sum(await asyncio.gather(*(self._mark(each, state) for each in some)))
        return count

    async def _mark(self, letter_id: str, state: str) -> bool:
        is_in_another = Condition(f"attribute_exists(#{KEY}) AND #state <> :state", {"state": state})
        fields = letter_state(letter_id, state)
        return await self._store.update(DEAD_LETTERS, item_key(letter_id), fields, is_in_another) is None

    async def erase(self, event_id: str) -> None:
        """Erase the messages of the event's dead letters, and drop them."""
        entries = await self._store.query(DEAD_LETTERS, LETTERS_BY_EVENT, event_id, MAX_OF_EVENT)
        keys = [str(each[KEY]) for each in entries]
        for key, fields in (await self._store.get_all(DEAD_LETTERS, keys, ("id", "entry", "message_blob"))).items():
            if (blob := fields.get("message_blob")) and self._blobs:
                await self._blobs.delete(str(blob))
            erased: Fields = {
                **letter_state(str(fields["id"]), DROPPED),
                "entry": to_json(erased_dead_letter(parsed_entry(fields["entry"]))),
                "message": None,
                "message_blob": None,
            }
            await self._store.update(DEAD_LETTERS, key, erased, Condition(f"attribute_exists(#{KEY})"))

    async def _rows(self, keys: Sequence[str]) -> tuple[DeadLetterRow, ...]:
        """Return the letters that there are, newest first."""
        found = await self._store.get_all(DEAD_LETTERS, keys, at_once=LETTERS_AT_ONCE)
        now = self._now()
        rows = [await self._row(each) for each in found.values() if not is_expired(each, now)]
        return tuple(sorted(rows, key=lambda row: row.seq, reverse=True))

    async def _row(self, fields: Fields) -> DeadLetterRow:
        entry, message = parsed_entry(fields["entry"]), fields.get("message")
        if blob := fields.get("message_blob"):
            message = await self._blobs.get(str(blob)) if self._blobs else None
        return DeadLetterRow(
            seq=_seq_of(fields),
            id=str(entry["id"]),
            code=str(entry["code"]),
            reason=str(entry["reason"]),
            at=float(str(entry["at"])),
            # Empty where the blob is gone: what was given up on, and why, is still told.
            message=message if isinstance(message, bytes) else b"",
            topic=str(entry["topic"]),
            event_id=str(entry["event_id"]),
            route=str(entry["route"]),
            destination=str(entry["destination"]),
            state=str(fields["state"]),
        )


def _seq_of(fields: Fields) -> int:
    return int(str(fields["seq"]))
