"""Restart what a change of the code or the configuration is about.

Files are compared by modification time, once a second: for the 400 files here, measured, 5 ms of CPU. The library
watchfiles uses 1 ms of CPU a second, costs 25 ms at the start and two more packages, and needs a folder to watch for
each file that a configuration may name or that is still to be written.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.config.config_file import ConfigFaults
from deploy.config.dotenv import DotenvFault
from deploy.dev.supervisor.banner import changed_lines
from deploy.dev.supervisor.setup import SUFFIXES, MailNotConfigured, Setup, files_named, set_up
from deploy.secrets.generated import WeakSecret

if TYPE_CHECKING:
    from deploy.dev.supervisor.supervisor import Supervisor

WATCH_SECONDS: Final = 1.0
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build"})

Snapshot = Mapping[Path, int]
"""Files and their modification times in nanoseconds."""


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return the modification times of the files in these folders, or of these files, that a process may read."""
    found: dict[Path, int] = {}
    for folder in dict.fromkeys(folders):
        for path in _files(folder):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # an editor is just replacing it
                continue
    return found


def changes(before: Snapshot, after: Snapshot) -> tuple[Path, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))


def watched_files(supervisor: "Supervisor") -> Snapshot:
    return snapshot(
        [*supervisor.code_folders(), *_settings_files(supervisor.setup), *supervisor.rejected_files],
    )


async def reload(supervisor: "Supervisor") -> None:
    """Apply changes until cancelled."""
    before = supervisor.first_snapshot
    while True:
        after = await asyncio.to_thread(watched_files, supervisor)
        if changed := changes(before, after):
            # The configuration may name other files now. They count as they were before it was read, or as missing, so
            # that a later change of them is noticed.
            named = await asyncio.to_thread(files_named, supervisor.setup)
            known = {**await asyncio.to_thread(snapshot, named), **after}
            await _apply(supervisor, changed)
            now = await asyncio.to_thread(watched_files, supervisor)
            after = {path: known.get(path, at) for path, at in now.items() if path in known or path not in named}
        before = after
        await asyncio.sleep(WATCH_SECONDS)


async def _apply(supervisor: "Supervisor", changed: tuple[Path, ...]) -> None:
    names = ", ".join(path.name for path in changed[:3]) + (" …" if len(changed) > 3 else "")
    setup = before = supervisor.setup
    # A rejected configuration may be fixed by code: a destination's module.
    if supervisor.rejected_files or set(changed) & set(_settings_files(setup)):
        try:
            setup = await asyncio.to_thread(set_up, setup.options, setup.shell, setup.folders)
        except (ConfigFaults, DotenvFault, WeakSecret, MailNotConfigured) as fault:
            supervisor.output.say("ERROR", f"{names} changed; the previous configuration is still in use:\n{fault}")
            supervisor.reject(files_named(setup), str(fault))
            if not supervisor.affected(changed):
                return
        else:
            supervisor.reject((), "")
    restarted = await supervisor.change(setup, supervisor.affected(changed))
    done = f"restarted {', '.join(restarted)}" if restarted else "no process had to restart"
    supervisor.output.say("NOTICE", f"{names} changed: {done}")
    if setup is not before:
        for line in changed_lines(before, setup):
            supervisor.output.say("NOTICE", line)


def _settings_files(setup: Setup) -> tuple[Path, ...]:
    return (*setup.configuration.files, setup.options.env_file)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        for name in names:
            if Path(name).suffix in SUFFIXES:
                yield Path(parent, name)
