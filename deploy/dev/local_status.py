"""The processes and waiting messages of the `hookchain dev` of a state folder, for `hookchain status`."""

import asyncio
import sqlite3
from pathlib import Path

from deploy.config import running_dev
from deploy.config.page_token import page_token, page_url
from deploy.config.probe import silent_processes
from deploy.dev.pubsub.store import FILE_NAME as BUS, read_waiting
from deploy.history.local import running_aws, running_ports
from deploy.history.status import Backlog, Version
from deploy.terminal.command_line import CommandError
from shared.cloud.local.database import reason_of


def local_version(folder: Path) -> Version:
    ports = running_ports(folder)
    if ports is None:
        return Version(running_dev.command_of(folder), "", None, f"not up: {running_dev.start_command(folder)}")
    since = (folder / running_dev.FILE_NAME).stat().st_mtime
    silent = asyncio.run(silent_processes(ports.named()))
    trouble = f"no answer from {', '.join(silent)}: hookchain logs" if silent else ""
    if running_dev.is_production(folder):
        if running_dev.is_paused(folder):
            trouble = trouble or f"{running_dev.NOT_RESUMED}: {running_dev.RESUME_ALL}"
        return Version("hookchain serve", f"http://{running_dev.HOST}:{ports.inspector}/", since, trouble)
    name = "hookchain dev" if running_dev.read_aws_environ(folder) is None else "hookchain dev, local AWS"
    return Version(name, page_url(ports.inspector, page_token(folder)), since, trouble)


def local_backlogs(folder: Path, now: float) -> list[Backlog]:
    """Raises CommandError if the bus cannot be read."""
    if aws := running_aws(folder):
        try:
            return [*asyncio.run(aws.backlogs())]
        except OSError as error:
            raise CommandError(f"{aws.endpoint}: the local AWS does not answer: {type(error).__name__}") from error
    try:
        waiting = read_waiting(folder, now)
    except sqlite3.Error as error:
        raise CommandError(f"{folder / BUS}: cannot be read: {reason_of(error)}") from error
    return [
        Backlog(each.subscription, each.due, None if each.oldest_at is None else now - each.oldest_at, each.delayed)
        for each in waiting
    ]
