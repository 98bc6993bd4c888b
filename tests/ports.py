"""Ports of this machine that nothing listens on."""

import socket
from collections.abc import Iterator, Sequence


def free_bases(offsets: Sequence[int]) -> Iterator[int]:
    """Port numbers to which each of the offsets can be added."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            base: int = server.getsockname()[1]
        if all(is_free(base + offset) for offset in offsets):
            yield base


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError):
        return False
    return True
