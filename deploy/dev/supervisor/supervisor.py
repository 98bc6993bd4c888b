"""`hookchain dev` while it runs: its children started, watched, changed and stopped."""

import asyncio
import secrets
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.config.dev_file import remove_dev_file, write_dev_file
from deploy.dev.probe import wait_until_answering
from deploy.dev.supervisor import duties
from deploy.dev.supervisor.banner import banner, hint
from deploy.dev.supervisor.configuration import write_slices
from deploy.dev.supervisor.options import prefer_config
from deploy.dev.supervisor.output import Output
from deploy.dev.supervisor.plan import affected
from deploy.dev.supervisor.race import race, raise_first_fault
from deploy.dev.supervisor.reaper_link import ReaperLink
from deploy.dev.supervisor.request_feed import RequestFeed
from deploy.dev.supervisor.runner import Runner
from deploy.dev.supervisor.setup import Setup
from deploy.terminal.log_view import LogView

START_FAILURES: Final = 3
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


class StartFailed(Exception):
    """A process does not come up; its own words stand in the log above."""


class Supervisor:
    """`began`: when `hookchain dev` was called, by the monotonic clock."""

    def __init__(self, setup: Setup, link: ReaperLink, began: float) -> None:
        self.setup = setup
        self.refused: tuple[Path, ...] = ()  # the files of a configuration that was refused, until one is taken
        self.faults = ""  # why that configuration was refused
        self._began = began
        view = LogView(setup.options.log_level, setup.options.colours)
        self.output = Output(view, self.stop, setup.place.state)
        self._stopped = asyncio.Event()
        self._sendgrid_key = "SG.local." + secrets.token_urlsafe(16)
        self._feed = RequestFeed(setup.place.state, self.output.say)
        self._runners = {
            child.name: Runner(child, setup.place.root, link, self._hear, self.output.say)
            for child in setup.children(self._sendgrid_key)
        }
        self.seen = duties.look(self)  # before anything starts, so that no change after this goes unseen

    async def run(self) -> None:
        """Until a signal. Raises StartFailed."""
        self._take_signals()
        write_slices(self.setup.configuration.slices, self.setup.place)
        feeding = asyncio.create_task(self._feed.run())
        running = [asyncio.create_task(runner.run()) for runner in self._runners.values()]
        try:
            await race(self._serve(), self._stopped.wait(), raise_first_fault([feeding, *running]))
        finally:
            remove_dev_file(self.setup.place.state)
            await asyncio.gather(*(runner.stop() for runner in self._runners.values()))
            await asyncio.gather(*running, return_exceptions=True)
            feeding.cancel()
            await asyncio.wait([feeding])
            self.output.file.close()

    def stop(self) -> None:
        """Asked a second time, it waits for nobody."""
        if self._stopped.is_set():
            for runner in self._runners.values():
                runner.kill()
        self._stopped.set()

    async def change(self, setup: Setup, changed_code: Sequence[str] = ()) -> tuple[str, ...]:
        """Take the new configuration; restart, and name, the children that it or `changed_code` is about."""
        self.setup = setup
        names = {*write_slices(setup.configuration.slices, setup.place), *changed_code}
        children = setup.children(self._sendgrid_key)
        names |= {child.name for child in children if child != self._runners[child.name].child}
        affected_children = [child for child in children if child.name in names]
        await asyncio.gather(*(self._runners[child.name].replace(child) for child in affected_children))
        self.tell_where()
        return tuple(child.name for child in affected_children)

    def affected(self, changed: Sequence[Path]) -> tuple[str, ...]:
        return affected([runner.child for runner in self._runners.values()], changed)

    def code_folders(self) -> list[Path]:
        return [folder for runner in self._runners.values() for folder in runner.child.code]

    async def _serve(self) -> None:
        await self._start()
        self.tell_where()
        self.output.show(banner(self.setup, time.monotonic() - self._began))
        await race(*duties.of(self))

    def tell_where(self) -> None:
        setup = self.setup
        by_name = bool(prefer_config(setup.options, setup.environ).get("HOOKCHAIN_CONFIG"))
        write_dev_file(
            setup.place.state,
            setup.ports,
            hint(setup),
            setup.configuration.path,
            setup.options.send_mail,
            by_name,
            self.faults,
        )

    async def _start(self) -> None:
        await race(self._until_all_answer(), self._watch_start())

    async def _until_all_answer(self) -> None:
        apis = self._runners["apis"].child
        await wait_until_answering(apis.port, apis.ready_path)
        await duties.ensure_topology(self.setup)
        for runner in self._runners.values():
            await wait_until_answering(runner.child.port, runner.child.ready_path)

    async def _watch_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, runner in self._runners.items():
                if runner.failures >= START_FAILURES:
                    raise StartFailed(f"{name} does not start: see what it says above.")
            await asyncio.sleep(POLL_SECONDS)
        raise StartFailed(f"Not everything answered within {START_SECONDS:.0f} s.")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)

    def _hear(self, name: str, lines: Sequence[str]) -> None:
        if name == "receive":
            for line in lines:
                self._feed.take(line)
        self.output.hear(name, lines)
