"""A minimal HTTP request to one of our own processes; it imports nothing heavy, so that `dev` starts quickly."""

import asyncio
from collections.abc import Mapping
from typing import Final

from deploy.config.local_ports import HOST


async def request_status(port: int, method: str, path: str, timeout_seconds: float, *header_lines: str) -> int | None:
    """Return the status; None if nothing answers HTTP in time."""
    more = "".join(f"{line}\r\n" for line in header_lines)
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                head = (
                    f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{more}"
                    "Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode())
                return parse_status(await reader.readline())
            finally:
                writer.close()
    except OSError:  # a timeout is one too
        return None


def parse_status(line: bytes) -> int | None:
    parts = line.split()
    return int(parts[1]) if len(parts) >= 2 and parts[0].startswith(b"HTTP/") and parts[1].isdigit() else None


ANSWER_SECONDS: Final = 2.0
READY_PATH: Final = "/robots.txt"
"""A path of the functions framework itself, which logs nothing. Any answer counts."""


async def silent_processes(ports: Mapping[str, int]) -> list[str]:
    """Return the names of the processes that do not answer: they cannot start, hang, or were stopped."""
    answers = (request_status(port, "GET", READY_PATH, ANSWER_SECONDS) for port in ports.values())
    return [name for name, status in zip(ports, await asyncio.gather(*answers), strict=True) if status is None]


async def wait_until_answering(port: int, path: str) -> None:
    while await request_status(port, "GET", path, 1.0) is None:  # noqa: ASYNC110 another process, which sets no event of ours
        await asyncio.sleep(0.05)
