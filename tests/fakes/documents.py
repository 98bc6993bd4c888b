from collections.abc import Callable, Sequence

from shared.errors import Temporary
from shared.store_ports import MAX_RECORD_BYTES, NO_VERSION, Document


class FakeDocuments:
    """A dictionary, which counts its calls, its writes and the documents that were read.

    With `fault` set, it refuses instead; `before` runs first.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Document] = {}
        self.expires_at: dict[tuple[str, str], float | None] = {}
        self.fault: str | None = None
        self.before: Callable[[], None] | None = None
        self.calls = 0
        self.writes = 0
        self.documents_read = 0

    async def get(self, partition: str, id: str) -> Document | None:
        self._called()
        self.documents_read += 1
        return self.kept.get((partition, id))

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        self._called()
        found = sorted(id for where, id in self.kept if where == partition and id > after and (not until or id < until))
        self.documents_read += len(found[:limit])
        return [self.kept[partition, id] for id in found[:limit]]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        self._called()
        assert len(text.encode()) <= MAX_RECORD_BYTES
        if expected is not None and expected != self._version(partition, id):
            return None
        self.writes += 1
        document = self.kept[partition, id] = Document(id, text, f"v{self.writes}")
        self.expires_at[partition, id] = expires_at
        return document.version

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        self._called()
        version = self._version(partition, id)
        if version and expected is not None and expected != version:
            return False
        self.kept.pop((partition, id), None)
        return True

    def close(self) -> None:
        """Close nothing."""

    def _version(self, partition: str, id: str) -> str:
        found = self.kept.get((partition, id))
        return found.version if found else NO_VERSION

    def _called(self) -> None:
        self.calls += 1
        if self.before:
            self.before()
        if self.fault:
            raise Temporary("documents_unavailable", self.fault)
