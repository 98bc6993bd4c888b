"""What the `hookchain dev` of a state folder has running and waiting, up or not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.config.dev_file import FILE_NAME
from deploy.config.ports import HOST
from deploy.dev.probe import ask
from deploy.dev.pubsub.waiting import waiting
from deploy.history.local import running_ports
from deploy.history.status import Backlog, Version

ANSWER_SECONDS: Final = 2.0
READY_PATH: Final = "/robots.txt"
"""The functions framework's own; whatever the others answer, they answer."""


def local_version(folder: Path) -> Version:
    ports = running_ports(folder)
    if ports is None:
        return Version("hookchain dev", "", None, "not up: make dev")
    since = (folder / FILE_NAME).stat().st_mtime
    silent = asyncio.run(silent_of(ports.named()))
    trouble = f"no answer from {', '.join(silent)}: hookchain logs" if silent else ""
    return Version("hookchain dev", f"http://{HOST}:{ports.inspector}", since, trouble)


async def silent_of(ports: Mapping[str, int]) -> list[str]:
    """Which of these processes answer nothing: one that cannot start, that hangs, or was stopped."""
    asked = (ask(port, "GET", READY_PATH, ANSWER_SECONDS) for port in ports.values())
    return [name for name, status in zip(ports, await asyncio.gather(*asked), strict=True) if status is None]


def local_backlogs(folder: Path, now: float) -> list[Backlog]:
    """Raises sqlite3.Error."""
    return [
        Backlog(each.subscription, each.count, None if each.oldest_at is None else now - each.oldest_at)
        for each in waiting(folder)
    ]
