from shared.errors import Temporary, TemporaryCode
from shared.store_ports import MAX_RECORD_BYTES, Answer, DecideRecord, Kept


class FakeRecords:
    """A dictionary, which counts its calls and writes. With `fault` set, it refuses instead."""

    def __init__(self, code: TemporaryCode = "records_unavailable") -> None:
        self.kept: dict[str, Kept] = {}
        self.fault: str | None = None
        self.calls = 0
        self.writes = 0
        self._code = code

    async def read(self, name: str) -> str | None:
        self._called()
        return self._text(name)

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        self._called()
        answer, kept = decide(self._text(name))
        if kept is not None:
            assert len(kept.text.encode()) <= MAX_RECORD_BYTES
            self.writes += 1
            self.kept[name] = kept
        return answer

    def _text(self, name: str) -> str | None:
        return self.kept[name].text if name in self.kept else None

    def _called(self) -> None:
        self.calls += 1
        if self.fault:
            raise Temporary(self._code, self.fault)
