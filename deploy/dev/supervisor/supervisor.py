"""Run the processes of `hookchain dev` and `hookchain serve` until a signal arrives.

`start` checks the ports and the state folder. A Supervisor then starts the child processes, restarts those whose code
or configuration changes, and stops them in the end. The functions after the class run beside it: the sweep, the
deletion of old data, and the reload of changed files.

Files are compared by modification time once a second, which takes 5 ms of CPU for the 400 files here. The library
watchfiles would take 1 ms, but adds 25 ms and two packages to a start. It also watches folders only, and a
configuration may name a file in any folder, even one that does not exist yet.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.config import checkout, config_file, dotenv, running_dev, slices
from deploy.dev.aws import environments, stack
from deploy.dev.probe import request_status, wait_until_answering
from deploy.dev.supervisor import output, state_folder
from deploy.dev.supervisor.banner import banner, changed_lines, farewell, make_hint, production_banner
from deploy.dev.supervisor.processes import TLS_RECEIVE, Child, affected
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.setup import (
    SUFFIXES,
    FindWarnings,
    MailNotConfigured,
    NotReady,
    Options,
    Setup,
    env_file_in,
    files_named,
    generated_values,
    make_folders,
    parse_options,
    prefer_config,
    secret_notes,
    set_up,
    write_slices,
)
from deploy.history.local_retention import needed_blobs, newest_at, purge_journal
from deploy.requests.sources import compiled_sources
from deploy.secrets.values import WeakSecret
from deploy.terminal.log_view import LogView
from shared import errors, jsontext, settings
from shared.cloud.local import blobs, database, journal
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE, purge_documents
from shared.retention import DAY_SECONDS, PurgeClock, retention_of

START_FAILURES: Final = 3
"""A process that ends this often in a row cannot start, so the whole start fails."""
START_SECONDS: Final = 60.0
"""Within this time, every process must answer."""
POLL_SECONDS: Final = 0.05
SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
STATE_SECONDS: Final = 1.0
TOPOLOGY_SECONDS: Final = 0.2
PURGE_SECONDS: Final = 3600.0
WATCH_SECONDS: Final = 1.0
UNWATCHED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "build"})
UMASK: Final = 0o077
"""Only their user may read the files that this process and its children create."""
Snapshot = Mapping[Path, int]
"""The modification time of each file, in nanoseconds."""


class StartFailed(Exception):
    """A process does not start. Its own message is in the log."""


START_FAULTS: Final = (
    config_file.ConfigFaults,
    dotenv.DotenvFault,
    WeakSecret,
    MailNotConfigured,
    NotReady,
    running_dev.PortsTaken,
    state_folder.StateFault,
    StartFailed,
    environments.ToolsMissing,
)
"""The faults that end a start with their text, and without a traceback."""


def main(arguments: list[str], find_warnings: FindWarnings) -> int:
    return start(lambda: _options(arguments), find_warnings)


def _options(arguments: list[str]) -> Options:
    environ = checkout.environ_with(env_file_in(arguments, os.environ, checkout.ROOT))
    return parse_options(arguments, environ, checkout.ROOT, sys.stdout.isatty())


def start(read_options: Callable[[], Options], find_warnings: FindWarnings) -> int:
    """Run until a signal arrives, and return the exit code. `read_options` may raise DotenvFault."""
    began_at = time.monotonic()
    os.umask(UMASK)
    try:
        options = read_options()
        with state_folder.locked(options.state, options.command):
            _run(options, began_at, find_warnings)
    except START_FAULTS as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _run(options: Options, began_at: float, find_warnings: FindWarnings) -> None:
    if options.platform == "aws":
        environments.find_tools()  # raises ToolsMissing
    running_dev.require_free(options.port_base, running_dev.is_free, running_dev.owner_of, options.command)
    state_warnings: Sequence[str] = ()
    if options.production:
        state_folder.require_undamaged(options.state)
    else:
        state_folder.require_development(options.state)
        state_warnings = state_folder.set_aside_damaged(options.state, time.time())
    state_folder.require_known_files(options.state, options.command)
    folders = make_folders(options, checkout.ROOT)
    with ReaperLink(folders.sockets) as link:
        setup = set_up(options, dict(os.environ), folders)
        if options.production:
            state_folder.require_production(options.state, options.production)
        asyncio.run(_supervise(setup, link, began_at, find_warnings, state_warnings))


async def _supervise(
    setup: Setup, link: ReaperLink, began_at: float, find_warnings: FindWarnings, state_warnings: Sequence[str]
) -> None:
    supervisor = Supervisor(setup, link, began_at, find_warnings)
    for warning in state_warnings:
        supervisor.output.say("WARNING", warning)
    await supervisor.run()


class Supervisor:
    """The running child processes, with the setup that they were started with.

    `began_at` is the time of the command by the monotonic clock. The banner prints how long the start took.
    """

    def __init__(self, setup: Setup, link: ReaperLink, began_at: float, find_warnings: FindWarnings) -> None:
        self.setup = setup
        self.link = link
        self._began_at = began_at
        self._find_warnings = find_warnings
        self.warnings: Sequence[config_file.Fault] = ()
        self.rejected_files: tuple[Path, ...] = ()
        """The files of a rejected configuration. Empty if the newest configuration is served."""
        self._faults = ""
        level = setup.options.log_level
        view = output.JsonView(level) if setup.options.production else LogView(level, setup.options.colours)
        self.output = output.Output(view, self.stop, setup.folders.state)
        self._generated = generated_values({}, setup)
        self.output.notes = secret_notes(setup, self._generated)
        self.reload_wanted = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._runners = {child.name: self._runner(child) for child in setup.children(self._sendgrid_key)}
        self._ending: set[Runner] = set()
        """Replaced runners, whose processes still finish their requests."""
        self.first_snapshot = watched_files(self)  # before anything starts, so that no later change is missed

    async def run(self) -> None:
        """Run until a signal arrives. Raises StartFailed and StateFault."""
        self._handle_signals()
        write_slices(self.setup.configuration.slices, self.setup.folders)
        self._keep_running(self.output.requests.run())
        [feeding] = self._tasks
        for runner in self._runners.values():
            self._keep_running(runner.run())
        try:
            await race(self._serve(), self._stopped.wait(), self._raise_first_fault())
        finally:
            running_dev.remove_dev_file(self.setup.folders.state)
            await self._stop_children()
            await asyncio.gather(*(task for task in self._tasks if task is not feeding), return_exceptions=True)
            feeding.cancel()  # after all others, since it prints the requests that the children report
            await asyncio.wait([feeding])
            self.output.close()
        if self.setup.options.production:
            self.output.announce("Stopped")
        else:
            self.output.show(farewell(self.setup.folders.state))

    async def _stop_children(self) -> None:
        for name in ("receive", TLS_RECEIVE):
            if name in self._runners:
                self._runners[name].close_port()  # a sender is rejected at once, and does not wait for an answer
        bus_users = [*self._ending, *(runner for name, runner in self._runners.items() if name != "apis")]
        await asyncio.gather(*(runner.stop() for runner in bus_users))
        # The bus is last, because a function that ends returns its unfinished messages to it.
        await self._runners["apis"].stop()

    def stop(self) -> None:
        """Stop the children, and end `run`. A second call kills them."""
        if self._stopped.is_set():
            for runner in (*self._ending, *self._runners.values()):
                runner.kill()
        self._stopped.set()

    async def change(self, setup: Setup, changed_code: Sequence[str] = ()) -> tuple[str, ...]:
        """Use a new setup, and return the names of the children that were started or restarted.

        A child is restarted if its slice, its command or its environment differs, or if it is in `changed_code`. The
        children that the new setup does not have are stopped.
        """
        has_other_buses = buses_of(setup) != buses_of(self.setup)
        self.setup = setup
        self._generated = generated_values(self._generated, setup)
        self.output.notes = secret_notes(setup, self._generated)
        changed_names = {*write_slices(setup.configuration.slices, setup.folders), *changed_code}
        children = {child.name: child for child in setup.children(self._sendgrid_key)}
        removed = [self._runners.pop(name) for name in self._runners.keys() - children.keys()]
        kept = [child for child in children.values() if child.name in self._runners]
        replaced = [child for child in kept if child.name in changed_names or child != self._runners[child.name].child]
        for runner in self._runners.values():
            runner.stop_seconds = max(runner.stop_seconds, setup.stop_seconds)  # the old process has its own timeouts
        await asyncio.gather(*(runner.stop() for runner in removed), *(self._replace(child) for child in replaced))
        added = [child for child in children.values() if child not in kept]
        for child in added:
            self._runners[child.name] = self._runner(child)
            self._keep_running(self._runners[child.name].run())
        self._write_dev_file()
        if has_other_buses:
            await ensure_topology(setup)
        return tuple(child.name for child in [*replaced, *added])

    async def _replace(self, child: Child) -> None:
        """Replace a process.

        In production, a function's new process serves while the old one finishes: otherwise, one destination that
        hangs would delay all others at each reload. The bus and the page have one process at a time.
        """
        old = self._runners[child.name]
        is_function = child.name in {*self.setup.configuration.slices, TLS_RECEIVE}
        if not (self.setup.options.production and is_function):
            await old.replace(child)
            return
        new = self._runners[child.name] = self._runner(child)
        new.take_port(old)
        self._ending.add(old)
        self._keep_running(new.run())
        await old.stop()
        self._ending.discard(old)

    def _runner(self, child: Child) -> Runner:
        root = self.setup.folders.root
        return Runner(
            child, root, self.link, self.output.append_lines, self.output.say, stop_seconds=self.setup.stop_seconds
        )

    def _keep_running(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` as a task, whose exception ends `run`."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_fault)
        self._tasks.append(task)

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed.set()

    async def _raise_first_fault(self) -> None:
        """Wait until a task fails, and raise its exception."""
        await self._failed.wait()
        for task in self._tasks:
            if task.done():
                task.result()

    def reject(self, files: tuple[Path, ...], faults: str) -> None:
        """Keep the faults of a rejected configuration, and the files in which they can be fixed.

        Both are empty once a configuration is accepted.
        """
        self.rejected_files = files
        self._faults = faults
        self._write_dev_file()

    def affected(self, changed: Sequence[Path]) -> tuple[str, ...]:
        return affected([runner.child for runner in self._runners.values()], changed)

    def code_folders(self) -> list[Path]:
        return [folder for runner in self._runners.values() for folder in runner.child.code]

    async def new_warnings(self) -> list[config_file.Fault]:
        """Find the configuration's warnings, and return those that are new since the last call."""
        known = {(each.where, each.rule) for each in self.warnings}
        file = self.setup.configuration.own_file
        if file is None:
            self.warnings = ()
        else:
            env_file = self.setup.options.env_file
            self.warnings = await asyncio.to_thread(self._find_warnings, file, self.setup.environ, env_file)
        return [each for each in self.warnings if (each.where, each.rule) not in known]

    async def _serve(self) -> None:
        finding_warnings = asyncio.create_task(self.new_warnings())
        await race(self._start(), self._watch_start())
        self._write_dev_file()
        warnings = await finding_warnings
        seconds = time.monotonic() - self._began_at
        if self.setup.options.production:
            for line in production_banner(self.setup, seconds, warnings):
                self.output.announce(line)
        else:
            self.output.show(banner(self.setup, seconds, warnings))
        await race(*background_tasks(self))

    def _write_dev_file(self) -> None:
        setup = self.setup
        running_dev.write_dev_file(
            setup.folders.state,
            setup.ports,
            make_hint(setup),
            setup.configuration.path,
            sends_mail=setup.options.send_mail,
            by_name=bool(prefer_config(setup.options, setup.environ).get("HOOKCHAIN_CONFIG")),
            faults=self._faults,
            aws=stack.function_environ(setup.ports.apis) if setup.is_aws else None,
            env_file=setup.options.env_file,
            reloads=setup.options.reload,
        )

    async def _start(self) -> None:
        apis = self._runners["apis"].child
        await wait_until_answering(apis.port, apis.ready_path)
        await ensure_topology(self.setup)
        for runner in self._runners.values():
            if runner.child.ready_path:
                await wait_until_answering(runner.child.port, runner.child.ready_path)

    async def _watch_start(self) -> None:
        """Raises StartFailed."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, runner in self._runners.items():
                if runner.failures >= START_FAILURES:
                    raise StartFailed(f"{name} does not start. See its messages above.")
            await asyncio.sleep(POLL_SECONDS)
        raise StartFailed(f"Not every process answered within {START_SECONDS:.0f} s. See their messages above.")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        if self.setup.options.production:
            loop.add_signal_handler(signal.SIGHUP, self.reload_wanted.set)


async def race(*works: Coroutine[None, None, object]) -> None:
    """Run coroutines until the first ends, then cancel the others and wait for them. Raises what the first raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in ended:
        task.result()


def background_tasks(supervisor: Supervisor) -> list[Coroutine[None, None, None]]:
    tasks = [purge(supervisor), watch_state(supervisor)]
    if not supervisor.setup.is_aws:  # on the local AWS, notify's process calls the sweep itself
        tasks.append(sweep(supervisor))
    if supervisor.setup.options.production:
        tasks.append(reload_at_signal(supervisor))
    if supervisor.setup.options.reload:
        tasks.append(reload(supervisor))
    return tasks


async def sweep(supervisor: Supervisor) -> None:
    """Call notify's sweep every second, as a cloud's scheduler does every minute.

    A call that notify does not answer is not repeated: the next one is due a second later.
    """
    # Imported here: signing takes 0.1 s to import, and the children use that time to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens = PushTokens(supervisor.setup.folders.state)
    port = supervisor.setup.ports.notify
    audience = running_dev.function_url(port)
    while True:
        if not supervisor.setup.is_paused:
            with contextlib.suppress(OSError):  # the state folder is full, or gone, which watch_state reports
                token = await asyncio.to_thread(tokens.token, settings.LOCAL_PUSH_ACCOUNT, audience)
                await request_status(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def watch_state(supervisor: Supervisor) -> None:
    """Check every second that the state folder and the reaper exist, and resume after `hookchain resume --all`.

    Raises StateFault if the folder was removed.
    """
    while True:
        supervisor.link.require_reaper()
        setup = supervisor.setup
        state_folder.require_state_folder(setup.folders.state)
        if setup.is_paused and not running_dev.is_paused(setup.folders.state):
            await supervisor.change(replace(setup, is_paused=False))
            supervisor.output.say("NOTICE", "Resumed: what waited since the restore is delivered")
        await asyncio.sleep(STATE_SECONDS)


async def purge(supervisor: Supervisor) -> None:
    """Delete data past its retention, every hour."""
    clock: PurgeClock | None = None
    while True:
        state = supervisor.setup.folders.state
        notify = supervisor.setup.configuration.slices["notify"]
        try:
            clock = clock or PurgeClock(await asyncio.to_thread(newest_at, state / journal.FILE_NAME))
            if clock.ahead_seconds:
                years = f"{clock.ahead_seconds / 365 / DAY_SECONDS:.1f} years"
                supervisor.output.say("WARNING", f"The clock is {years} ahead; nothing is deleted because of its age")
            await asyncio.to_thread(purge_state, state, notify, clock.now())
        except (sqlite3.Error, OSError, errors.Temporary) as error:  # busy, or the disk is full: the next hour will do
            reason = error.detail if isinstance(error, errors.Temporary) else database.reason_of(error)
            supervisor.output.say("WARNING", f"{state} still has what is past its retention: {reason}")
        await asyncio.sleep(PURGE_SECONDS)


def purge_state(state: Path, notify: jsontext.JsonObject, now: float) -> None:
    """Delete data past its retention from the state folder. `notify` is the slice of notify.

    A large body is kept while a retry, a held delivery or a dead letter may need it. A caught mail or row contains an
    event's body, so it is kept as long as one. Raises sqlite3.Error, OSError and Temporary.
    """
    # Imported here: it belongs to the emulated services, and the children use that time to start.
    from deploy.dev.caught import open_caught

    retention = retention_of(notify)
    with open_caught(state) as caught:
        caught.purge(now - retention.bodies_seconds)
    purge_journal(state / journal.FILE_NAME, now, retention)
    if (documents := state / DOCUMENTS_FILE).is_file():
        purge_documents(documents, now)
    kept_seconds = slices.blobs_seconds(retention, notify)
    blobs.purge_blobs(state / "blobs", now - kept_seconds, needed_blobs(state))
    for path in state.glob(f"*{state_folder.DAMAGED_MARK}*"):
        if path.stat().st_mtime < now - kept_seconds:
            path.unlink()


def buses_of(setup: Setup) -> list[jsontext.Json]:
    """Return the `bus` of each source that has one, with the source's name."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [[name, each["bus"]] for name, each in sources.items() if "bus" in each]


async def ensure_topology(setup: Setup) -> None:
    """Create the topics and subscriptions that a deployment would have. Retries until the emulated Pub/Sub answers."""
    if setup.is_aws:  # the local AWS creates its queues before it answers
        return
    # Imported here: an HTTP client takes 0.25 s to import, and the children use that time to start.
    from deploy.dev.pubsub.topology import bus_topology, ensure, remove_others, topology

    ports = setup.ports
    url = f"http://{running_dev.HOST}:{ports.apis}"
    own_resources = topology(settings.LOCAL_PROJECT, "", ports.transform, ports.notify)
    source_resources = bus_topology(settings.LOCAL_PROJECT, ports.receive, setup.configuration.slices["receive"])
    resources = own_resources + source_resources
    while True:
        try:
            await ensure(url, resources)
            await remove_others(url, settings.LOCAL_PROJECT, resources)
        except errors.Temporary:  # the emulated APIs are restarting; the start has its own time limit
            await asyncio.sleep(TOPOLOGY_SECONDS)
        else:
            return


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return the modification times of the files in these folders that a process may read. A folder may be a file."""
    modified_at: dict[Path, int] = {}
    for folder in dict.fromkeys(folders):
        for path in _files(folder):
            with contextlib.suppress(FileNotFoundError):  # an editor is just replacing it
                modified_at[path] = path.stat().st_mtime_ns
    return modified_at


def changes(before: Snapshot, after: Snapshot) -> tuple[Path, ...]:
    return tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))


def watched_files(supervisor: Supervisor) -> Snapshot:
    return snapshot([*supervisor.code_folders(), *_settings_files(supervisor.setup), *supervisor.rejected_files])


async def reload(supervisor: Supervisor) -> None:
    """Apply changes of the watched files until cancelled."""
    before = supervisor.first_snapshot
    while True:
        after = await asyncio.to_thread(watched_files, supervisor)
        if changed := changes(before, after):
            # The configuration may name other files now. Their times are taken before it is read, so that a change
            # during the restart is noticed.
            named_files = await asyncio.to_thread(files_named, supervisor.setup)
            earlier = {**await asyncio.to_thread(snapshot, named_files), **after}
            await _apply(supervisor, changed)
            now = await asyncio.to_thread(watched_files, supervisor)
            after = {
                path: earlier.get(path, at) for path, at in now.items() if path in earlier or path not in named_files
            }
        before = after
        await asyncio.sleep(WATCH_SECONDS)


async def reload_at_signal(supervisor: Supervisor) -> None:
    """Load the configuration at each SIGHUP.

    The processes that read the certificate and the page's password restart too, because these files keep their names.
    """
    while True:
        await supervisor.reload_wanted.wait()
        supervisor.reload_wanted.clear()
        setup = await _new_setup(supervisor, "SIGHUP")
        if setup is not None:
            await _change(supervisor, setup, (TLS_RECEIVE, "inspector"), "SIGHUP")


async def _apply(supervisor: Supervisor, changed: tuple[Path, ...]) -> None:
    more = " …" if len(changed) > 3 else ""
    cause = f"{', '.join(path.name for path in changed[:3])}{more} changed"
    affected_names = supervisor.affected(changed)
    setup: Setup | None = supervisor.setup
    # If the configuration was rejected, any file may fix it, such as the module of a destination.
    if supervisor.rejected_files or set(changed) & set(_settings_files(supervisor.setup)):
        setup = await _new_setup(supervisor, cause)
        if setup is None and not affected_names:
            return
    await _change(supervisor, setup or supervisor.setup, affected_names, cause)


async def _new_setup(supervisor: Supervisor, cause: str) -> Setup | None:
    """Return the setup of the configuration as it is on disk now. If it has faults, report them and return None."""
    setup = supervisor.setup
    try:
        new = await asyncio.to_thread(set_up, setup.options, setup.shell, setup.folders)
    except (config_file.ConfigFaults, dotenv.DotenvFault, WeakSecret, MailNotConfigured, NotReady) as fault:
        supervisor.output.say("ERROR", f"{cause}; the previous configuration is still in use:\n{fault}")
        supervisor.reject(files_named(setup), str(fault))
        return None
    supervisor.reject((), "")
    return new


async def _change(supervisor: Supervisor, setup: Setup, changed_code: Sequence[str], cause: str) -> None:
    old_setup = supervisor.setup
    restarted = await supervisor.change(setup, changed_code)
    effect = f"restarted {', '.join(restarted)}" if restarted else "no process had to restart"
    supervisor.output.say("NOTICE", f"{cause}: {effect}")
    if setup is not old_setup:
        for line in changed_lines(old_setup, setup, await supervisor.new_warnings()):
            supervisor.output.say("NOTICE", line)


def _settings_files(setup: Setup) -> tuple[Path, ...]:
    return (*setup.configuration.files, setup.options.env_file)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in UNWATCHED_FOLDERS and not name.startswith(".")]
        for name in names:
            if Path(name).suffix in SUFFIXES:
                yield Path(parent, name)
