"""Run the processes of `hookchain dev` and `hookchain serve` until a signal arrives.

A Supervisor starts the processes of its setup. With another setup, it restarts those that differ. In the end it stops
all: first the functions, then the bus, to which they return unfinished messages.
"""

import asyncio
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from deploy.config import config_file, running_dev
from deploy.config.probe import wait_until_answering
from deploy.dev.aws import stack
from deploy.dev.supervisor import output
from deploy.dev.supervisor.banner import banner, farewell, make_hint, production_banner
from deploy.dev.supervisor.processes import TLS_RECEIVE, Child, affected
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.setup import Setup, generated_values, secret_notes, write_slices
from deploy.requests.sources import compiled_sources
from deploy.terminal.command_line import CommandError
from deploy.terminal.log_view import LogView
from shared import jsontext

START_FAILURES: Final = 3
"""A process that ends this often in a row cannot start, so the whole start fails."""
START_SECONDS: Final = 60.0
"""Within this time, every process must answer."""
POLL_SECONDS: Final = 0.05

FindWarnings: TypeAlias = Callable[[config_file.ConfigFile, Mapping[str, str], Path], Sequence[config_file.Fault]]
"""Takes the operator's file, the environment and the env file; returns the warnings that `hookchain lint` prints."""
Work: TypeAlias = Callable[[], Coroutine[None, None, None]]
"""Does something beside the processes until it is cancelled."""


class Supervisor:
    """The running child processes, with the setup that they were started with.

    `began_at` is the time of the command by the monotonic clock. The banner prints how long the start took.
    """

    def __init__(self, setup: Setup, link: ReaperLink, began_at: float, find_warnings: FindWarnings) -> None:
        self.setup = setup
        self.link = link
        self._began_at = began_at
        self._find_warnings = find_warnings
        self._warnings: Sequence[config_file.Fault] = ()
        self._faults = ""
        level = setup.options.log_level
        view = output.JsonView(level) if setup.options.production else LogView(level, setup.options.colours)
        self.output = output.Output(view, self.stop, setup.folders.state)
        self._generated = generated_values({}, setup)
        self.output.notes = secret_notes(setup, self._generated)
        self._stopped = asyncio.Event()
        self._failed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._runners = {child.name: self._runner(child) for child in setup.children(self._sendgrid_key)}
        self._ending: set[Runner] = set()
        """Replaced runners, whose processes still finish their requests."""

    async def run(self, works: Sequence[Work]) -> None:
        """Run until a signal arrives. Once all processes answer, do the works too.

        Raises CommandError, and what a work raises.
        """
        self._handle_signals()
        write_slices(self.setup.configuration.slices, self.setup.folders)
        self._keep_running(self.output.requests.run())
        [feeding] = self._tasks
        for runner in self._runners.values():
            self._keep_running(runner.run())
        try:
            await race(self._serve(works), self._stopped.wait(), self._raise_first_fault())
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
        if has_other_buses and not setup.is_aws:  # where receive creates its queues
            changed_names.add("apis")
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

    def publish_faults(self, faults: str) -> None:
        """Show the faults of a rejected configuration on the page; an empty text once a configuration is accepted."""
        self._faults = faults
        self._write_dev_file()

    def affected(self, changed: Sequence[Path]) -> tuple[str, ...]:
        return affected([runner.child for runner in self._runners.values()], changed)

    def code_folders(self) -> list[Path]:
        return [folder for runner in self._runners.values() for folder in runner.child.code]

    async def new_warnings(self) -> list[config_file.Fault]:
        """Find the configuration's warnings, and return those that are new since the last call."""
        known = {(each.where, each.rule) for each in self._warnings}
        file = self.setup.configuration.own_file
        if file is None:
            self._warnings = ()
        else:
            env_file = self.setup.options.env_file
            self._warnings = await asyncio.to_thread(self._find_warnings, file, self.setup.environ, env_file)
        return [each for each in self._warnings if (each.where, each.rule) not in known]

    async def _serve(self, works: Sequence[Work]) -> None:
        finding_warnings = asyncio.create_task(self.new_warnings())
        await race(self._wait_until_up(), self._fail_if_not_up())
        self._write_dev_file()
        warnings = await finding_warnings
        seconds = time.monotonic() - self._began_at
        if self.setup.options.production:
            for line in production_banner(self.setup, seconds, warnings):
                self.output.announce(line)
        else:
            self.output.show(banner(self.setup, seconds, warnings))
        await race(*[work() for work in works])

    def _write_dev_file(self) -> None:
        setup = self.setup
        running_dev.write_dev_file(
            setup.folders.state,
            setup.ports,
            make_hint(setup),
            setup.configuration.path,
            sends_mail=setup.options.send_mail,
            by_name=bool(setup.options.with_config(setup.environ).get("HOOKCHAIN_CONFIG")),
            faults=self._faults,
            aws=stack.function_environ(setup.ports.apis) if setup.is_aws else None,
            env_file=setup.options.env_file,
            env_version=setup.env_version,
            reloads=setup.options.reload,
        )

    async def _wait_until_up(self) -> None:
        for runner in self._runners.values():
            if runner.child.ready_path:
                await wait_until_answering(runner.child.port, runner.child.ready_path)

    async def _fail_if_not_up(self) -> None:
        """Raise CommandError once a process has ended too often, or the time is over."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, runner in self._runners.items():
                if runner.failures >= START_FAILURES:
                    raise CommandError(f"{name} does not start. See its messages above.")
            await asyncio.sleep(POLL_SECONDS)
        raise CommandError(f"Not every process answered within {START_SECONDS:.0f} s. See their messages above.")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if not self.setup.options.production:  # which reloads at SIGHUP
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)


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


def buses_of(setup: Setup) -> list[jsontext.Json]:
    """Return the `bus` of each source that has one, with the source's name."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [[name, each["bus"]] for name, each in sources.items() if "bus" in each]
