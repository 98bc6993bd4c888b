"""`hookchain dev`: its setup, and while it runs its children started, watched, replaced and stopped.

Files are compared by modification time, once a second: for the 400 files here, measured, 5 ms of CPU. The library
watchfiles uses 1 ms of CPU a second, costs 25 ms at the start and two more packages, and needs a folder to watch for
each file that a configuration may name or that is still to be written.
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
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
SWEEP_SECONDS: Final = 1.0
SWEEP_TIMEOUT_SECONDS: Final = 60.0
STATE_SECONDS: Final = 1.0
TOPOLOGY_SECONDS: Final = 0.2
PURGE_SECONDS: Final = 3600.0
WATCH_SECONDS: Final = 1.0
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build"})
Snapshot = Mapping[Path, int]
"""Files and their modification times in nanoseconds."""
UMASK: Final = 0o077
"""Files that this process and its children create are for their user alone."""


class StartFailed(Exception):
    """A process does not start; the log has its own message."""


FAULTS: Final = (
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


def main(arguments: list[str], find_warnings: FindWarnings) -> int:
    return start(lambda: _options(arguments), find_warnings)


def _options(arguments: list[str]) -> Options:
    environ = checkout.environ_with(env_file_in(arguments, os.environ, checkout.ROOT))
    return parse_options(arguments, environ, checkout.ROOT, sys.stdout.isatty())


def start(read_options: Callable[[], Options], find_warnings: FindWarnings) -> int:
    """Run until a signal, and return the exit code. `read_options` may raise DotenvFault."""
    began = time.monotonic()
    os.umask(UMASK)
    try:
        options = read_options()
        with state_folder.locked(options.state, options.command):
            _run(options, began, find_warnings)
    except FAULTS as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _run(options: Options, began: float, find_warnings: FindWarnings) -> None:
    if options.platform == "aws":
        environments.find_tools()
    running_dev.require_free(options.port_base, running_dev.is_free, running_dev.owner_of, options.command)
    warnings: Sequence[str] = ()
    if options.production:
        state_folder.require_undamaged(options.state)
    else:
        state_folder.require_development(options.state)
        warnings = state_folder.set_aside_damaged(options.state, time.time())
    state_folder.require_known_files(options.state, options.command)
    folders = make_folders(options, checkout.ROOT)
    with ReaperLink(folders.sockets) as link:
        setup = set_up(options, dict(os.environ), folders)
        if options.production:
            state_folder.require_production(options.state, options.production)
        asyncio.run(_supervise(Supervisor(setup, link, began, find_warnings), warnings))


async def _supervise(supervisor: "Supervisor", warnings: Sequence[str]) -> None:
    for warning in warnings:
        supervisor.output.say("WARNING", warning)
    await supervisor.run()


class Supervisor:
    """`began`: when `hookchain dev` was called, by the monotonic clock.

    `rejected_files` are the files of a configuration that was rejected, until one is accepted.
    """

    def __init__(self, setup: Setup, link: ReaperLink, began: float, find_warnings: FindWarnings) -> None:
        self.setup = setup
        self.warnings: Sequence[config_file.Fault] = ()
        self._find_warnings = find_warnings
        self.rejected_files: tuple[Path, ...] = ()
        self._faults = ""
        self._began = began
        level = setup.options.log_level
        view = output.JsonView(level) if setup.options.production else LogView(level, setup.options.colours)
        self.output = output.Output(view, self.stop, setup.folders.state)
        self._generated = generated_values({}, setup)
        self.output.notes = secret_notes(setup, self._generated)
        self._stopped = asyncio.Event()
        self.reload_wanted = asyncio.Event()
        self._failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: set[Runner] = set()
        """The runners whose processes finish what is under way, while others have taken their place."""
        self.link = link
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._runners = {child.name: self._runner(child) for child in setup.children(self._sendgrid_key)}
        self.first_snapshot = watched_files(self)  # before anything starts, so that no later change is missed

    async def run(self) -> None:
        """Run until a signal. Raises StartFailed and StateFault."""
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
            # The emulated cloud last: a function that ends hands back to it what it has not finished.
            for name in ("receive", TLS_RECEIVE):
                if name in self._runners:
                    self._runners[name].close_port()  # a sender is rejected at once, and does not wait for an answer
            users = [*self._ending, *(runner for name, runner in self._runners.items() if name != "apis")]
            await asyncio.gather(*(runner.stop() for runner in users))
            await self._runners["apis"].stop()
            await asyncio.gather(*(task for task in self._tasks if task is not feeding), return_exceptions=True)
            feeding.cancel()
            await asyncio.wait([feeding])
            self.output.close()
        if self.setup.options.production:
            self.output.announce("Stopped")
        else:
            self.output.show(farewell(self.setup.folders.state))

    def stop(self) -> None:
        """Stop the children and end; on a second call, kill them."""
        if self._stopped.is_set():
            for runner in (*self._ending, *self._runners.values()):
                runner.kill()
        self._stopped.set()

    async def change(self, setup: Setup, changed_code: Sequence[str] = ()) -> tuple[str, ...]:
        """Use a new setup; restart the children that it or `changed_code` is about, and return their names.

        Children that it does not have any more are stopped, and new ones are started.
        """
        has_other_buses = buses_of(setup) != buses_of(self.setup)
        self.setup = setup
        self._generated = generated_values(self._generated, setup)
        self.output.notes = secret_notes(setup, self._generated)
        names = {*write_slices(setup.configuration.slices, setup.folders), *changed_code}
        children = {child.name: child for child in setup.children(self._sendgrid_key)}
        gone = [self._runners.pop(name) for name in self._runners.keys() - children.keys()]
        known = [child for child in children.values() if child.name in self._runners]
        replaced = [child for child in known if child.name in names or child != self._runners[child.name].child]
        for runner in self._runners.values():
            runner.stop_seconds = max(runner.stop_seconds, setup.stop_seconds)  # the old process has its own timeouts
        await asyncio.gather(
            *(runner.stop() for runner in gone),
            *(self._replace(child) for child in replaced),
        )
        added = [child for child in children.values() if child not in known]
        for child in added:
            self._runners[child.name] = self._runner(child)
            self._keep_running(self._runners[child.name].run())
        self._write_dev_file()
        if has_other_buses:
            await ensure_topology(setup)
        return tuple(child.name for child in [*replaced, *added])

    async def _replace(self, child: Child) -> None:
        """Replace a process. In production, a function's new process serves while the old one finishes.

        A hanging destination would hold up all others at each reload. The bus and the page have one process at a time.
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
        append_lines, say, stop_seconds = self.output.append_lines, self.output.say, self.setup.stop_seconds
        return Runner(child, self.setup.folders.root, self.link, append_lines, say, stop_seconds)

    def _keep_running(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_fault)
        self._tasks.append(task)

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed.set()

    async def _raise_first_fault(self) -> None:
        """Wait until a task fails, and raise its exception. Cancels none of them."""
        await self._failed.wait()
        for task in self._tasks:
            if task.done():
                task.result()

    def reject(self, files: tuple[Path, ...], faults: str) -> None:
        """Keep the faults of a configuration and the files in which they may be fixed; empty: none."""
        self.rejected_files, self._faults = files, faults
        self._write_dev_file()

    def affected(self, changed: Sequence[Path]) -> tuple[str, ...]:
        return affected([runner.child for runner in self._runners.values()], changed)

    def code_folders(self) -> list[Path]:
        return [folder for runner in self._runners.values() for folder in runner.child.code]

    async def new_warnings(self) -> list[config_file.Fault]:
        """Find the configuration's warnings; return those that were not there before."""
        known = {(each.where, each.rule) for each in self.warnings}
        file, environ, env_file = self.setup.configuration.own_file, self.setup.environ, self.setup.options.env_file
        self.warnings = await asyncio.to_thread(self._find_warnings, file, environ, env_file) if file else ()
        return [each for each in self.warnings if (each.where, each.rule) not in known]

    async def _serve(self) -> None:
        finding_warnings = asyncio.create_task(self.new_warnings())
        await race(self._start(), self._watch_start())
        self._write_dev_file()
        warnings = await finding_warnings
        seconds = time.monotonic() - self._began
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
            setup.options.send_mail,
            bool(prefer_config(setup.options, setup.environ).get("HOOKCHAIN_CONFIG")),
            self._faults,
            stack.function_environ(setup.ports.apis) if setup.is_aws else None,
            setup.options.env_file,
            setup.options.reload,
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
    """Run coroutines until the first ends; cancel the others and wait for them. Raises what the first raised."""
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
    if not supervisor.setup.is_aws:  # there notify's process is its scheduler too
        tasks.append(sweep(supervisor))
    if supervisor.setup.options.production:
        tasks.append(reload_at_signal(supervisor))
    return [*tasks, reload(supervisor)] if supervisor.setup.options.reload else tasks


async def sweep(supervisor: Supervisor) -> None:
    """Call notify's sweep as the scheduler does. While notify is down nothing is due, and its end is logged."""
    # Imported here: signing takes 0.1 s to import, and the children use that time to start.
    from deploy.dev.pubsub.push_tokens import PushTokens

    tokens, port = PushTokens(supervisor.setup.folders.state), supervisor.setup.ports.notify
    while True:
        if supervisor.setup.is_paused:
            await asyncio.sleep(SWEEP_SECONDS)
            continue
        with contextlib.suppress(OSError):  # the state folder is full, or gone, which watch_state reports
            token = await asyncio.to_thread(tokens.token, settings.LOCAL_PUSH_ACCOUNT, running_dev.function_url(port))
            await request_status(port, "POST", "/sweep", SWEEP_TIMEOUT_SECONDS, f"Authorization: Bearer {token}")
        await asyncio.sleep(SWEEP_SECONDS)


async def watch_state(supervisor: Supervisor) -> None:
    """Wait until the state folder is removed, and replace the reaper if it ends. Deliver again after `resume --all`.

    Raises StateFault.
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
        state, notify = supervisor.setup.folders.state, supervisor.setup.configuration.slices["notify"]
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
    """Delete data past its retention from the state folder.

    Large bodies and stored answers to steps stay for as long as anything can ask for one of them, and a large body also
    while a delivery that is pending or held needs it, or a dead letter. A caught mail or row has what an event's body
    has, and is kept as long. `notify` is its slice. Raises sqlite3.Error, OSError and Temporary.
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
    """Return what the configuration says of the buses of its sources."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [[name, each["bus"]] for name, each in sources.items() if "bus" in each]


async def ensure_topology(setup: Setup) -> None:
    """Create the topics and subscriptions, as a cloud account has them; retry until that succeeds.

    The local AWS makes its own before it answers.
    """
    if setup.is_aws:
        return None
    # Imported here: an HTTP client takes 0.25 s to import, and the children use that time to start.
    from deploy.dev.pubsub.topology import bus_topology, ensure, remove_others, topology

    ports, url = setup.ports, f"http://{running_dev.HOST}:{setup.ports.apis}"
    brought = bus_topology(settings.LOCAL_PROJECT, ports.receive, setup.configuration.slices["receive"])
    resources = topology(settings.LOCAL_PROJECT, "", ports.transform, ports.notify) + brought
    while True:
        try:
            await ensure(url, resources)
            return await remove_others(url, settings.LOCAL_PROJECT, resources)
        except errors.Temporary:
            # The emulated APIs have just died and are restarting. The start has its own time limit.
            await asyncio.sleep(TOPOLOGY_SECONDS)


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


def watched_files(supervisor: Supervisor) -> Snapshot:
    return snapshot(
        [*supervisor.code_folders(), *_settings_files(supervisor.setup), *supervisor.rejected_files],
    )


async def reload(supervisor: Supervisor) -> None:
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


async def reload_at_signal(supervisor: Supervisor) -> None:
    """Load the configuration at each SIGHUP. The certificate and the page's password, whose files keep their names, are
    read again too."""
    while True:
        await supervisor.reload_wanted.wait()
        supervisor.reload_wanted.clear()
        setup = await _new_setup(supervisor, "SIGHUP")
        if setup is not None:
            await _change(supervisor, setup, (TLS_RECEIVE, "inspector"), "SIGHUP")


async def _apply(supervisor: Supervisor, changed: tuple[Path, ...]) -> None:
    names = ", ".join(path.name for path in changed[:3]) + (" …" if len(changed) > 3 else "")
    setup: Setup | None = supervisor.setup
    affected_names = supervisor.affected(changed)
    # A rejected configuration may be fixed by code: a destination's module.
    if supervisor.rejected_files or set(changed) & set(_settings_files(supervisor.setup)):
        setup = await _new_setup(supervisor, f"{names} changed")
        if setup is None and not affected_names:
            return
    await _change(supervisor, setup or supervisor.setup, affected_names, f"{names} changed")


async def _new_setup(supervisor: Supervisor, cause: str) -> Setup | None:
    """Return the setup of the configuration as it is on disk now. Report its faults and return None if it has some."""
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
    before = supervisor.setup
    restarted = await supervisor.change(setup, changed_code)
    done = f"restarted {', '.join(restarted)}" if restarted else "no process had to restart"
    supervisor.output.say("NOTICE", f"{cause}: {done}")
    if setup is not before:
        for line in changed_lines(before, setup, await supervisor.new_warnings()):
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
