from shared.errors import Temporary


class FakeBlobs:
    """A dictionary. With `fault` set, it refuses instead."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.fault: str | None = None

    async def put(self, name: str, content: bytes) -> None:
        self._fail_if_faulty()
        self.contents[name] = content

    async def create(self, name: str, content: bytes) -> None:
        self._fail_if_faulty()
        self.contents.setdefault(name, content)

    async def get(self, name: str) -> bytes | None:
        self._fail_if_faulty()
        return self.contents.get(name)

    async def delete(self, name: str) -> None:
        self._fail_if_faulty()
        self.contents.pop(name, None)

    async def names(self, beginning: str) -> list[str]:
        self._fail_if_faulty()
        return sorted(name for name in self.contents if name.startswith(beginning))

    def close(self) -> None:
        """Close nothing."""

    def _fail_if_faulty(self) -> None:
        if self.fault:
            raise Temporary("blobs_unavailable", self.fault)
