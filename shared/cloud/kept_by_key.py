"""Owners and records over the Documents port: one document a key, changed only from the version that was read."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol, TypeAlias

from shared import errors, jsontext, time_bound
from shared.store_ports import NO_VERSION, Answer, DecideRecord, Document, Documents

DocumentStore: TypeAlias = Literal["documents", "records", "grants", "owners"]
"""The stores of documents on each platform. All but `documents` have one partition, and take any text as an id."""
UNAVAILABLE: Final[dict[DocumentStore, errors.TemporaryCode]] = {
    "documents": "documents_unavailable",
    "records": "records_unavailable",
    "grants": "grants_unavailable",
    "owners": "owners_unavailable",
}
"""The code of the Temporary that each failure of a store becomes."""
ONE_PARTITION: Final = ""
TRIES: Final = 8
"""The tries of a change, which is decided again if another change was faster."""
CONTENTION_SECONDS: Final = 0.05


class ClosableDocuments(Documents, Protocol):
    def close(self) -> None: ...


class DocumentRecords:
    """The Records port over a store of documents."""

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
            answer, kept = decide(found.text if found else None)
            if kept is None:
                return answer
            version = found.version if found else NO_VERSION
            expires_at = max(now, kept.until)
            if await self._documents.write(ONE_PARTITION, name, kept.text, version, expires_at) is not None:
                return answer
        raise errors.Temporary(self._code, f"others kept writing the record {name!r}, {TRIES} times in a row")

    def close(self) -> None:
        self._documents.close()


class DocumentOwners:
    """The Owners port over a store of documents. A key that is new costs one write, and no read."""

    def __init__(self, documents: ClosableDocuments) -> None:
        self._documents = documents

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        text = jsontext.to_json({"event_id": event_id, "since": float(now)})
        version = NO_VERSION
        for _ in range(TRIES):
            if await self._documents.write(ONE_PARTITION, key, text, version, now + window_seconds) is not None:
                return event_id
            found = await self._documents.get(ONE_PARTITION, key)
            if (owner := owner_in(found, now, window_seconds)) is not None:
                return owner
            version = found.version if found else NO_VERSION
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
    """Return a document's text as the fields of a store that has these: the text itself where it has one field.

    The text of a store with several fields is a JSON object of them.
    """
    if len(names) == 1:
        return {names[0]: text}
    document: Mapping[str, str | float] = json.loads(text)
    return document


def text_of(fields: Mapping[str, object], names: Sequence[str]) -> str:
    """Return the text that `fields_of` took apart."""
    return str(fields[names[0]]) if len(names) == 1 else json.dumps({name: fields[name] for name in names})
