"""Stores for a dry run: what is written is kept in memory, over what is really there, and nothing is published."""

from collections import defaultdict
from collections.abc import Sequence

from shared.ports import BusMessage
from shared.store_ports import NO_VERSION, Document, Documents


class OverlayDocuments:
    """The Documents port. A version that a dry run has written begins with `dry-`."""

    def __init__(self, below: Documents) -> None:
        self._below = below
        self._changed: defaultdict[str, dict[str, Document | None]] = defaultdict(dict)
        self._writes = 0

    async def get(self, partition: str, id: str) -> Document | None:
        if id in self._changed[partition]:
            return self._changed[partition][id]
        return await self._below.get(partition, id)

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        own = self._changed[partition]
        ours = {id: each for id, each in own.items() if each and id > after and (not until or id < until)}
        found = await self._below.page(partition, limit + len(own), after, until)
        theirs = {each.id: each for each in found if each.id not in own}
        merged = {**theirs, **ours}
        return [merged[id] for id in sorted(merged)][:limit]

    async def write(
        self,
        partition: str,
        id: str,
        text: str,
        expected: str | None = None,
        expires_at: float | None = None,  # noqa: ARG002 the port's
    ) -> str | None:
        if expected is not None and expected != _version(await self.get(partition, id)):
            return None
        self._writes += 1
        self._changed[partition][id] = document = Document(id, text, f"dry-{self._writes}")
        return document.version

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        found = await self.get(partition, id)
        if found is not None and expected is not None and expected != found.version:
            return False
        self._changed[partition][id] = None
        return True


class SilentBus:
    """The Bus port without a bus."""

    max_delay_seconds = 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Publish nothing."""


def _version(found: Document | None) -> str:
    return found.version if found else NO_VERSION
