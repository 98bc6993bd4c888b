"""What the `hookchain dev` of a state folder runs and has waiting, for `hookchain status`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.config.dev_file import FILE_NAME
from deploy.config.ports import HOST
from deploy.dev.pubsub.store import read_waiting
from deploy.history.local_bus import told_ports
from deploy.history.probe import ask
from deploy.history.status_parts import Backlog, Version

ANSWER_SECONDS: Final = 2.0
READY_PATH: Final = "/robots.txt"
"""A path of the functions framework itself. Any answer counts."""


def local_version(folder: Path) -> Version:
    ports = told_ports(folder)
    if ports is None:
        return Version("hookchain dev", "", None, "not up: make dev")
    since = (folder / FILE_NAME).stat().st_mtime
    silent = asyncio.run(silent_processes(ports.named()))
    trouble = f"no answer from {', '.join(silent)}: hookchain logs" if silent else ""
    return Version("hookchain dev", f"http://{HOST}:{ports.inspector}", since, trouble)


async def silent_processes(ports: Mapping[str, int]) -> list[str]:
    """Return the names of the processes that do not answer: they cannot start, hang, or were stopped."""
    answers = (ask(port, "GET", READY_PATH, ANSWER_SECONDS) for port in ports.values())
    return [name for name, status in zip(ports, await asyncio.gather(*answers), strict=True) if status is None]


def local_backlogs(folder: Path, now: float) -> list[Backlog]:
    """Raises sqlite3.Error."""
    return [
        Backlog(subscription, count, None if oldest_at is None else now - oldest_at)
        for subscription, count, oldest_at in read_waiting(folder)
    ]
