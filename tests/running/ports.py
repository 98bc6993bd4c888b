"""Ports of this machine that nothing listens on, and that nothing else takes before a test listens on them.

They lie below those that the system gives to outgoing connections (from 32,768 on Linux, from 49,152 on macOS), so
that no connection has one. Each process that runs tests takes its ports from a block of its own.
"""

import functools
import socket
from collections.abc import Sequence
from typing import Final

STACK: Final = (0, 1, 2, 3, 5, 10)
"""The ports of a `hookchain dev`, counted from its PORT_BASE."""
_FIRST, _END, _BLOCK = 10_000, 32_000, 400


def free_port() -> int:
    return free_base((0,))


def free_base(offsets: Sequence[int] = STACK) -> int:
    """Return a port number to which each of the offsets can be added."""
    block = _own_block()
    for _ in range(_BLOCK):
        base = block.take(max(offsets) + 1)
        if all(is_free(base + offset) for offset in offsets):
            return base
    raise RuntimeError(f"no port between {block.first} and {block.first + _BLOCK} is free")


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError):
        return False
    return True


class _Block:
    """The ports from `first` on, for this process alone until it ends."""

    def __init__(self) -> None:
        self.first = next(first for first in range(_FIRST, _END, _BLOCK) if _lock(first))
        self._taken = 0

    def take(self, count: int) -> int:
        """Return the first of this many ports: those after the last ones, and the block's first after its last."""
        if self._taken + count > _BLOCK:
            self._taken = 0
        self._taken += count
        return self.first + self._taken - count


@functools.cache
def _own_block() -> _Block:
    return _Block()


def _lock(port: int) -> bool:
    """Keep this port's UDP side, which nothing else here uses, until the process ends. False where another has it."""
    lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        lock.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return False
    lock.detach()
    return True
