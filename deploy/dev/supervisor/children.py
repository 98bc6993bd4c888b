"""The running child processes: all started, some replaced with another setup, and all stopped.

A child keeps its name in every setup. Its runner starts its process again whenever that dies.
"""

import asyncio
import secrets
import time
from collections.abc import Collection, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Final

from deploy.config.probe import wait_until_answering
from deploy.dev.supervisor import processes, state_folder
from deploy.dev.supervisor.output import RECEIVERS, Output
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.setup import Setup
from deploy.terminal.command_line import CommandError

BUS: Final = "apis"
"""The child with the emulated services: the bus among them."""
START_FAILURES: Final = 3
"""A process that ends this often in a row cannot start, so the whole start fails."""
START_SECONDS: Final = 60.0
"""Within this time, every process must answer."""
POLL_SECONDS: Final = 0.05


class Children:
    """The child processes of the newest setup, and replaced ones that still finish their requests.

    Its methods are called on one event loop, and `change` never twice at once.
    """

    def __init__(self, setup: Setup, link: ReaperLink, output: Output) -> None:
        self._setup = setup
        self._link = link
        self._output = output
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._runners = {child.name: self._runner(child) for child in setup.children(self._sendgrid_key)}
        self._ending: set[Runner] = set()
        """Replaced runners, whose processes still finish their requests."""
        self._tasks: list[asyncio.Task[None]] = []
        """A task for each runner, replaced ones too."""
        self._failed = asyncio.Event()
        """Set once a task has raised."""

    def __iter__(self) -> Iterator[processes.Child]:
        return (runner.child for runner in self._runners.values())

    def affected(self, changed: Sequence[Path]) -> tuple[str, ...]:
        """Return the names of the children that read one of the changed files as code."""
        return processes.affected([*self], changed)

    def start(self) -> None:
        for runner in self._runners.values():
            self._keep_running(runner)

    async def wait_until_answering(self) -> None:
        """Raises CommandError if a process ended too often, or did not answer in time."""
        await race(self._wait_for_answers(), self._watch_start())

    async def _wait_for_answers(self) -> None:
        for child in self:
            if child.ready_path:
                await wait_until_answering(child.port, child.ready_path)

    async def _watch_start(self) -> None:
        """Raise CommandError once a process has ended too often, or the time is over.

        If the disk has become full, the error of a process that does not start says so.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, runner in self._runners.items():
                if runner.failures >= START_FAILURES:
                    state_folder.require_room(self._setup.folders.state, self._setup.options.command)
                    raise CommandError(f"{name} does not start. See its messages above.")
            await asyncio.sleep(POLL_SECONDS)
        raise CommandError(f"Not every process answered within {START_SECONDS:.0f} s. See their messages above.")

    async def raise_first_fault(self) -> None:
        """Wait until a runner raises, which it does not for a fault of its process. Raise its exception."""
        await self._failed.wait()
        for task in self._tasks:
            if task.done():
                task.result()

    async def change(self, setup: Setup, changed_names: Collection[str]) -> tuple[str, ...]:
        """Run the children of a new setup, and return the names of those that were started or restarted.

        A child is restarted if its command or its environment differs, or if it is in `changed_names`. The children
        that the new setup does not have are stopped.
        """
        self._setup = setup
        children = {child.name: child for child in setup.children(self._sendgrid_key)}
        removed = [self._runners.pop(name) for name in self._runners.keys() - children.keys()]
        for runner in self._runners.values():
            # The old process still has the timeouts of the old setup.
            runner.stop_seconds = max(runner.stop_seconds, setup.stop_seconds)
        kept = [child for child in children.values() if child.name in self._runners]
        replaced = [child for child in kept if child.name in changed_names or child != self._runners[child.name].child]
        await asyncio.gather(*(runner.stop() for runner in removed), *(self._replace(child) for child in replaced))
        added = [child for child in children.values() if child not in kept]
        for child in added:
            self._runners[child.name] = self._runner(child)
            self._keep_running(self._runners[child.name])
        return tuple(child.name for child in [*replaced, *added])

    async def _replace(self, child: processes.Child) -> None:
        """Replace the process that has the child's name, and return once the old one has ended.

        In production, a function's new process serves while the old one finishes: otherwise, one destination that
        hangs would delay all others at each reload. The bus and the page have one process at a time.
        """
        old = self._runners[child.name]
        is_function = child.name in {*self._setup.configuration.slices, processes.TLS_RECEIVE}
        if not (self._setup.options.production and is_function):
            await old.replace(child)
            return
        new = self._runners[child.name] = self._runner(child)
        new.take_port(old)
        self._ending.add(old)
        self._keep_running(new)
        await old.stop()
        self._ending.discard(old)

    async def stop(self) -> None:
        """Stop all processes: the functions first, then the bus, to which they return unfinished messages."""
        for name in RECEIVERS:
            if name in self._runners:
                self._runners[name].close_port()  # a sender is rejected at once, and does not wait for an answer
        bus_users = [*self._ending, *(runner for name, runner in self._runners.items() if name != BUS)]
        await asyncio.gather(*(runner.stop() for runner in bus_users))
        await self._runners[BUS].stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        for runner in (*self._ending, *self._runners.values()):
            runner.kill()

    def _runner(self, child: processes.Child) -> Runner:
        root = self._setup.folders.root
        output = self._output
        return Runner(child, root, self._link, output.append_lines, output.say, stop_seconds=self._setup.stop_seconds)

    def _keep_running(self, runner: Runner) -> None:
        task = asyncio.create_task(runner.run())
        task.add_done_callback(self._note_fault)
        self._tasks.append(task)

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed.set()


async def race(*works: Coroutine[None, None, object]) -> None:
    """Run at least one coroutine until the first ends, then cancel the others and wait for them.

    Raises what the first raised.
    """
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
