"""The Owners and Records ports over a store of documents.

Each key has one document. A change is written only over the version that it was decided from. If another process wrote
the document meanwhile, the change is decided again from the new content.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from shared import errors, jsontext, time_bound
from shared.store_ports import NO_VERSION, Answer, DecideRecord, Document, Documents

DocumentStore: TypeAlias = Literal["documents", "records", "grants", "owners"]
"""The stores of documents on each platform. `documents` has partitions, and its ids have few kinds of characters. Each
of the others has ONE_PARTITION, and takes any text as an id."""
UNAVAILABLE: Final[dict[DocumentStore, errors.TemporaryCode]] = {
    "documents": "documents_unavailable",
    "records": "records_unavailable",
    "grants": "grants_unavailable",
    "owners": "owners_unavailable",
}
"""The codes of the Temporary that a failure of each store raises."""
ONE_PARTITION: Final = ""
TRIES: Final = 8
"""The number of tries of a change while other changes are faster. After the last, it raises Temporary."""
CONTENTION_SECONDS: Final = 0.05
"""The wait before the second try. Each further wait is longer by this."""


class ClosableDocuments(Documents, Protocol):
    def close(self) -> None: ...


class DocumentRecords:
    """The Records port over a store of documents. `code` is that of the Temporary after TRIES tries of a change."""

    def __init__(self, documents: ClosableDocuments, code: errors.TemporaryCode = "records_unavailable") -> None:
        self._documents = documents
        self._code: errors.TemporaryCode = code

    async def read(self, name: str) -> str | None:
        found = await self._documents.get(ONE_PARTITION, name)
        return found.text if found else None

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        for number in range(TRIES):
            if number:
                await time_bound.back_off(CONTENTION_SECONDS * number)
            found = await self._documents.get(ONE_PARTITION, name)
            answer, new_record = decide(found.text if found else None)
            if new_record is None:  # nothing is to be changed
                return answer
            read_version = found.version if found else NO_VERSION
            expires_at = max(now, new_record.until)
            written = await self._documents.write(ONE_PARTITION, name, new_record.text, read_version, expires_at)
            if written is not None:
                return answer
        raise errors.Temporary(self._code, f"others kept writing the record {name!r}, {TRIES} times in a row")

    def close(self) -> None:
        self._documents.close()


class DocumentOwners:
    """The Owners port over a store of documents.

    Most keys are new, so the document is written before it is read. A new key costs one write and no read.
    """

    def __init__(self, documents: ClosableDocuments) -> None:
        self._documents = documents

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        text = jsontext.to_json({"event_id": event_id, "since": float(now)})
        expected_version = NO_VERSION
        for _ in range(TRIES):
            written = await self._documents.write(ONE_PARTITION, key, text, expected_version, now + window_seconds)
            if written is not None:
                return event_id
            found = await self._documents.get(ONE_PARTITION, key)
            current_owner = owner_in(found, now, window_seconds)
            if current_owner is not None:
                return current_owner
            # The window of the earlier owner is over: the next try overwrites its document.
            expected_version = found.version if found else NO_VERSION
        raise errors.Temporary("owners_unavailable", f"others kept writing an owner, {TRIES} times in a row")

    def close(self) -> None:
        self._documents.close()


def owner_in(found: Document | None, now: float, window_seconds: float) -> str | None:
    """Return the event that owns the key of a stored document; None if there is none, or its window is over."""
    if found is None:
        return None
    document = json.loads(found.text)
    return str(document["event_id"]) if now - document["since"] < window_seconds else None


def fields_of(text: str, names: Sequence[str]) -> Mapping[str, str | float]:
    """Return the fields `names` of a document's text.

    In a store whose documents have one field, the text is the value of that field. In a store whose documents have
    several fields, the text is a JSON object of them.
    """
    if len(names) == 1:
        return {names[0]: text}
    document: Mapping[str, str | float] = json.loads(text)
    return document


def text_of(fields: Mapping[str, object], names: Sequence[str]) -> str:
    """Return the text of a document with these fields, so that `fields_of` returns them again."""
    return str(fields[names[0]]) if len(names) == 1 else json.dumps({name: fields[name] for name in names})
