"""Dead letters on Firestore: read, with their messages from wherever those rest, and marked."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.history.firestore_queries import FIRST, LAST, WITHOUT_MESSAGE, dead_letters_query, query_by_events
from deploy.history.journal_view import DROPPED, DeadLetterRow
from shared.batching import batches
from shared.cloud.earlier_words import CODES
from shared.cloud.gcp.collections import DEAD_LETTERS
from shared.cloud.gcp.firestore import Document, Firestore
from shared.cloud.gcp.firestore_values import Fields, Where, Write, document_id, query_document
from shared.cloud.gcp.journal import entry_of, keyed, marked_write
from shared.cloud.journal_entries import erased_dead_letter
from shared.journal import KEPT
from shared.jsontext import to_json
from shared.ports import Blobs

MAX_ANSWER_BYTES: Final = 6_000_000
"""Of messages, which base64 makes a third longer on the way."""
MAX_COUNTED: Final = 10_000
AT_ONCE: Final = 25


class LetterReader:
    def __init__(self, store: Firestore, blobs: Blobs | None) -> None:
        self._store = store
        self._blobs = blobs

    async def newest(self, limit: int, state: str | None, before: int | None) -> tuple[DeadLetterRow, ...]:
        return await self._rows(await self._store.query(dead_letters_query(state, before, limit)))

    async def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]:
        found = await self._store.query(query_by_events(DEAD_LETTERS, [event_id], WITHOUT_MESSAGE))
        return tuple(sorted(await self._rows(found), key=lambda row: row.seq))

    async def one(self, dead_letter_id: str) -> DeadLetterRow | None:
        name = document_id(dead_letter_id)
        found = await self._store.get(DEAD_LETTERS, [name], WITHOUT_MESSAGE)
        rows = await self._rows([Document(name, found[name])]) if name in found else ()
        return rows[0] if rows else None

    async def kept(self) -> int:
        """Return the number of dead letters, at most MAX_COUNTED."""
        where = [
            Where("by_state", "GREATER_THAN_OR_EQUAL", keyed(KEPT, FIRST)),
            Where("by_state", "LESS_THAN", keyed(KEPT, LAST)),
        ]
        return await self._store.count(query_document(DEAD_LETTERS, where, order_by="by_state", limit=MAX_COUNTED))

    async def mark(self, ids: Sequence[str], state: str) -> int:
        """A few at a time: each at once takes a connection of its own."""
        count = 0
        for some in batches(ids, AT_ONCE):
            count += sum(await asyncio.gather(*(self._mark(document_id(each), state) for each in some)))
        return count

    async def _mark(self, name: str, state: str) -> bool:
        def decide(fields: Fields | None) -> tuple[bool, Write | None]:
            if fields is None or fields["state"] == state:
                return False, None
            return True, marked_write(name, int(str(fields["seq"])), state)

        return await self._store.transact(DEAD_LETTERS, name, ("seq", "state"), decide)

    async def erase(self, event_id: str) -> None:
        """Erase the messages of the event's dead letters, and drop them."""
        for found in await self._store.query(query_by_events(DEAD_LETTERS, [event_id], WITHOUT_MESSAGE)):
            if (blob := found.fields.get("message_blob")) and self._blobs:
                await self._blobs.delete(str(blob))
            dropped = marked_write(found.id, int(str(found.fields["seq"])), DROPPED)
            erased: Fields = {
                **(dropped.fields or {}),
                "entry": to_json(erased_dead_letter(entry_of(found.fields))),
                "message": None,
                "message_blob": None,
            }
            await self._store.commit([Write(DEAD_LETTERS, found.id, erased, mask=tuple(erased))])

    async def _rows(self, documents: Sequence[Document]) -> tuple[DeadLetterRow, ...]:
        messages: dict[str, bytes] = {}
        for names in _groups([each for each in documents if not each.fields.get("message_blob")]):
            found = await self._store.get(DEAD_LETTERS, names, ("message",))
            messages |= {name: each["message"] for name, each in found.items() if isinstance(each["message"], bytes)}
        for each in documents:
            if blob := each.fields.get("message_blob"):
                messages[each.id] = await self._blob(str(blob))
        return tuple(_letter(each.fields, messages.get(each.id, b"")) for each in documents)

    async def _blob(self, name: str) -> bytes:
        """Empty where it is gone: what was given up on, and why, is still told."""
        return (await self._blobs.get(name) if self._blobs else None) or b""


def _groups(documents: Sequence[Document]) -> Iterator[list[str]]:
    """Ids whose messages one answer can hold together."""
    names: list[str] = []
    size = 0
    for each in documents:
        length = int(str(entry_of(each.fields)["bytes"]))
        if names and size + length > MAX_ANSWER_BYTES:
            yield names
            names, size = [], 0
        names.append(each.id)
        size += length
    if names:
        yield names


def _letter(fields: Fields, message: bytes) -> DeadLetterRow:
    entry = entry_of(fields)
    return DeadLetterRow(
        seq=int(str(fields["seq"])),
        id=str(entry["id"]),
        code=CODES.get(str(entry["code"]), str(entry["code"])),
        reason=str(entry["reason"]),
        at=float(str(entry["at"])),
        message=message,
        topic=str(entry["topic"]),
        event_id=str(entry["event_id"]),
        route=str(entry["route"]),
        destination=str(entry["destination"]),
        state=str(fields["state"]),
    )
