"""Memory that this process has freed: kept for the next large request, and given back once none has come for a while.

By default, glibc gives back the end of its heap once 128 KiB of it are free, and large blocks at once. To use them
again costs page faults: 800 for an event of 1 MB, a third of its CPU time; a fifth of the CPU time for one with 100
destinations. Free memory between blocks in use, glibc never gives back by itself; `malloc_trim` does.

https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ctypes

KEPT_SECONDS: Final = 5.0
"""How long freed memory is kept after the last large request."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 64 * 1024 * 1024
_LARGEST_IN_HEAP: Final = 32 * 1024 * 1024
"""The most that glibc allows. To read 1 MB, orjson allocates 12 MB, of which it uses few pages; to write it, 8 MB."""


class _FreedMemory:
    """Nothing changes where the C library is another one, or Python was built without ctypes."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._giving_back: asyncio.TimerHandle | None = None

    def keep(self) -> None:
        if self._giving_back is None:
            self._set_limits()
        else:
            self._giving_back.cancel()
        self._giving_back = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._give_back)

    def _set_limits(self) -> None:
        try:
            import ctypes  # 3 ms, and most processes see nothing large

            self._library = ctypes.CDLL(None)
        except (ImportError, OSError):
            return
        if mallopt := getattr(self._library, "mallopt", None):
            mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
            mallopt(_M_MMAP_THRESHOLD, _LARGEST_IN_HEAP)

    def _give_back(self) -> None:
        if trim := getattr(self._library, "malloc_trim", None):
            trim(0)


_freed_memory: Final = _FreedMemory()


def keep_freed_memory() -> None:
    """Keep what this process frees, up to 64 MiB, for KEPT_SECONDS after the last call. Large requests call it."""
    _freed_memory.keep()
