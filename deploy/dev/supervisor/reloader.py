"""Apply changes of the code and of the configuration while the processes run.

Files are compared by modification time once a second, which takes 5 ms of CPU for the 400 files here. The library
watchfiles would take 1 ms, but adds 25 ms and two packages to a start. It also watches folders only, and a
configuration may name a file in any folder, even one that does not exist yet.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.config import dotenv
from deploy.dev.supervisor import banner, processes, served_configuration
from deploy.dev.supervisor.setup import SETUP_FAULTS, Setup, set_up
from deploy.dev.supervisor.supervisor import Supervisor

WATCH_SECONDS: Final = 1.0
UNWATCHED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "build"})
Snapshot = Mapping[Path, int]
"""The modification time of each file, in nanoseconds."""


class Reloader:
    """Watches the files of the processes. Create it before anything starts, so that no later change is missed."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._rejected_files: tuple[Path, ...] = ()
        """The files in which a rejected configuration can be fixed. Empty if the newest configuration is served."""
        self._requested = asyncio.Event()
        self._first_snapshot = self._snapshot()

    def request(self) -> None:
        """Let `reload_at_requests` load the configuration."""
        self._requested.set()

    async def reload_at_requests(self) -> None:
        """Load the configuration at each request until cancelled.

        The processes that read the certificate and the page's password restart too, because these files keep their
        names.
        """
        while True:
            await self._requested.wait()
            self._requested.clear()
            setup = await self._new_setup("SIGHUP")
            if setup is not None:
                await self._change(setup, (processes.TLS_RECEIVE, "inspector"), "SIGHUP")

    async def watch_files(self) -> None:
        """Apply changes of the watched files until cancelled."""
        before = self._first_snapshot
        while True:
            after = await asyncio.to_thread(self._snapshot)
            if changed := changes(before, after):
                # The configuration may name other files now. Their times are taken before it is read, so that a change
                # during the restart is noticed.
                named_files = await asyncio.to_thread(_files_of, self._supervisor.setup)
                earlier = {**await asyncio.to_thread(snapshot, named_files), **after}
                await self._apply(changed)
                now = await asyncio.to_thread(self._snapshot)
                # A named file that did not exist before is left out: it counts as changed the next time.
                after = {
                    path: earlier.get(path, at)
                    for path, at in now.items()
                    if path in earlier or path not in named_files
                }
            before = after
            await asyncio.sleep(WATCH_SECONDS)

    def _snapshot(self) -> Snapshot:
        supervisor = self._supervisor
        code_folders = [folder for child in supervisor.children for folder in child.code]
        return snapshot([*code_folders, *supervisor.setup.settings_files, *self._rejected_files])

    async def _apply(self, changed: tuple[Path, ...]) -> None:
        more = " …" if len(changed) > 3 else ""
        cause = f"{', '.join(path.name for path in changed[:3])}{more} changed"
        restarted_names = self._supervisor.children.affected(changed)
        setup = self._supervisor.setup
        # If the configuration was rejected, any file may fix it, such as the module of a destination.
        if self._rejected_files or set(changed) & set(setup.settings_files):
            new_setup = await self._new_setup(cause)
            if new_setup is None and not restarted_names:
                return
            setup = new_setup or setup
        await self._change(setup, restarted_names, cause)

    async def _new_setup(self, cause: str) -> Setup | None:
        """Return the setup of the configuration as it is on disk now. If it has faults, report them and return None."""
        supervisor = self._supervisor
        setup = supervisor.setup
        try:
            new = await asyncio.to_thread(set_up, setup.options, setup.shell, setup.folders)
        except (*SETUP_FAULTS, OSError) as fault:  # an OSError if the disk is full
            self._reject(cause, fault)
            return None
        self._rejected_files = ()
        supervisor.publish_faults("")
        return new

    async def _change(self, setup: Setup, restarted_names: Sequence[str], cause: str) -> None:
        """Use the setup, and say what changed. `restarted_names` are processes to restart in any case."""
        supervisor = self._supervisor
        old_setup = supervisor.setup
        try:
            restarted = await supervisor.change(setup, restarted_names)
        except OSError as fault:
            self._reject(cause, fault)
            return
        effect = f"restarted {', '.join(restarted)}" if restarted else "no process had to restart"
        supervisor.output.say("NOTICE", f"{cause}: {effect}")
        if setup is not old_setup:
            for line in banner.changed_lines(old_setup, setup, await supervisor.new_warnings()):
                supervisor.output.say("NOTICE", line)

    def _reject(self, cause: str, fault: Exception) -> None:
        """Report why the configuration is not used. It is loaded again when any of its files changes."""
        supervisor = self._supervisor
        supervisor.output.say("ERROR", f"{cause}; the previous configuration is still in use:\n{fault}")
        self._rejected_files = _files_of(supervisor.setup)
        supervisor.publish_faults(str(fault))


def _files_of(setup: Setup) -> tuple[Path, ...]:
    """Return the files that the configuration on disk names, which may have faults."""
    try:
        environ = {**dotenv.read_dotenv(setup.options.env_file), **setup.shell}
    except dotenv.DotenvFault:  # that file itself has to be fixed
        return (setup.options.env_file,)
    return served_configuration.files_to_watch(setup.options.with_config(environ), setup.folders.root)


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return the modification times of the files in these folders that a process may read. A folder may be a file."""
    modified_at: dict[Path, int] = {}
    for folder in dict.fromkeys(folders):
        for path in _files_in(folder):
            with contextlib.suppress(FileNotFoundError):  # an editor is just replacing it
                modified_at[path] = path.stat().st_mtime_ns
    return modified_at


def _files_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in UNWATCHED_FOLDERS and not name.startswith(".")]
        for name in names:
            if Path(name).suffix in served_configuration.SUFFIXES:
                yield Path(parent, name)


def changes(before: Snapshot, after: Snapshot) -> tuple[Path, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))
