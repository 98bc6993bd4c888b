"""Answers kept in this process for as long as a step says, within bounds."""

from collections import OrderedDict
from typing import Final

MAX_CACHED_BYTES: Final = 8 * 1_048_576


class AnswerCache:
    """Least recently used first out. Times are Unix seconds."""

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str, now: float) -> bytes | None:
        until, content = self._kept.get(key, (0.0, b""))
        if now >= until:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return content

    def put(self, key: str, content: bytes, until: float) -> None:
        self._forget(key)
        self._kept[key] = until, content
        self._bytes += len(content)
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        if key in self._kept:
            self._bytes -= len(self._kept.pop(key)[1])
