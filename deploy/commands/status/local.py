"""What the `hookchain dev` of a state folder has running and waiting, up or not."""

from pathlib import Path

from deploy.commands.state.local_bus import told_ports
from deploy.commands.status.parts import Backlog, Version
from deploy.local.pubsub.waiting import waiting
from deploy.local.supervisor.dev_file import FILE_NAME
from deploy.local.supervisor.ports import HOST


def local_version(folder: Path) -> Version:
    ports = told_ports(folder)
    if ports is None:
        return Version("hookchain dev", "", None, "not up: make dev")
    since = (folder / FILE_NAME).stat().st_mtime
    return Version("hookchain dev", f"http://{HOST}:{ports.inspector}", since)


def local_backlogs(folder: Path, now: float) -> list[Backlog]:
    """Raises sqlite3.Error."""
    return [
        Backlog(each.subscription, each.count, None if each.oldest_at is None else now - each.oldest_at)
        for each in waiting(folder)
    ]
