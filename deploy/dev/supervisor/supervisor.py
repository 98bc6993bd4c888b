"""`hookchain dev` while it runs: its children started, watched, replaced and stopped."""

import asyncio
import secrets
import signal
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Final

from deploy.config.running_dev import remove_dev_file, write_dev_file
from deploy.dev.aws.emulated_stack import function_environ
from deploy.dev.probe import wait_until_answering
from deploy.dev.supervisor.background import background_tasks, buses_of, ensure_topology
from deploy.dev.supervisor.banner import banner, farewell, make_hint
from deploy.dev.supervisor.options import prefer_config
from deploy.dev.supervisor.output import Output
from deploy.dev.supervisor.processes import Child, affected
from deploy.dev.supervisor.reload import watched_files
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.setup import Setup, generated_values, secret_notes, write_slices
from deploy.terminal.log_view import LogView

START_FAILURES: Final = 3
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


class StartFailed(Exception):
    """A process does not start; the log has its own message."""


class Supervisor:
    """`began`: when `hookchain dev` was called, by the monotonic clock.

    `rejected_files` are the files of a configuration that was rejected, until one is accepted.
    """

    def __init__(self, setup: Setup, link: ReaperLink, began: float) -> None:
        self.setup = setup
        self.rejected_files: tuple[Path, ...] = ()
        self._faults = ""
        self._began = began
        view = LogView(setup.options.log_level, setup.options.colours)
        self.output = Output(view, self.stop, setup.folders.state)
        self._generated = generated_values({}, setup)
        self.output.notes = secret_notes(setup, self._generated)
        self._stopped = asyncio.Event()
        self._failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._link = link
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._runners = {child.name: self._runner(child) for child in setup.children(self._sendgrid_key)}
        self.first_snapshot = watched_files(self)  # before anything starts, so that no later change is missed

    async def run(self) -> None:
        """Run until a signal. Raises StartFailed and StateGone."""
        self._handle_signals()
        write_slices(self.setup.configuration.slices, self.setup.folders)
        self._keep_running(self.output.requests.run())
        [feeding] = self._tasks
        for runner in self._runners.values():
            self._keep_running(runner.run())
        try:
            await race(self._serve(), self._stopped.wait(), self._raise_first_fault())
        finally:
            remove_dev_file(self.setup.folders.state)
            # The emulated cloud last: a function that ends hands back to it what it has not finished.
            users = [runner for name, runner in self._runners.items() if name != "apis"]
            await asyncio.gather(*(runner.stop() for runner in users))
            await self._runners["apis"].stop()
            await asyncio.gather(*(task for task in self._tasks if task is not feeding), return_exceptions=True)
            feeding.cancel()
            await asyncio.wait([feeding])
            self.output.close()
        self.output.show(farewell(self.setup.folders.state))

    def stop(self) -> None:
        """Stop the children and end; on a second call, kill them."""
        if self._stopped.is_set():
            for runner in self._runners.values():
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
        await asyncio.gather(
            *(runner.stop() for runner in gone),
            *(self._runners[child.name].replace(child) for child in replaced),
        )
        added = [child for child in children.values() if child not in known]
        for child in added:
            self._runners[child.name] = self._runner(child)
            self._keep_running(self._runners[child.name].run())
        self._write_dev_file()
        if has_other_buses:
            await ensure_topology(setup)
        return tuple(child.name for child in [*replaced, *added])

    def _runner(self, child: Child) -> Runner:
        return Runner(child, self.setup.folders.root, self._link, self.output.append_lines, self.output.say)

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

    async def _serve(self) -> None:
        await race(self._start(), self._watch_start())
        self._write_dev_file()
        self.output.show(banner(self.setup, time.monotonic() - self._began))
        await race(*background_tasks(self))

    def _write_dev_file(self) -> None:
        setup = self.setup
        write_dev_file(
            setup.folders.state,
            setup.ports,
            make_hint(setup),
            setup.configuration.path,
            setup.options.send_mail,
            bool(prefer_config(setup.options, setup.environ).get("HOOKCHAIN_CONFIG")),
            self._faults,
            function_environ(setup.ports.apis) if setup.is_aws else None,
            setup.options.env_file,
            setup.options.reload,
        )

    async def _start(self) -> None:
        apis = self._runners["apis"].child
        await wait_until_answering(apis.port, apis.ready_path)
        await ensure_topology(self.setup)
        for runner in self._runners.values():
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
