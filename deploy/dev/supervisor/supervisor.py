"""Run `hookchain dev` or `hookchain serve` until a signal arrives.

A Supervisor has the children, the output and the setup that is in use, and tells other commands about them in a file
of the state folder.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from deploy.config import config_file, running_dev
from deploy.dev.aws import stack
from deploy.dev.supervisor import banner, children, output, runner, served_configuration
from deploy.dev.supervisor.setup import Setup, generated_values, secret_notes
from deploy.requests.sources import compiled_sources
from deploy.terminal.log_view import LogView
from shared import jsontext

FindWarnings: TypeAlias = Callable[[config_file.ConfigFile, Mapping[str, str], Path], Sequence[config_file.Fault]]
"""Takes the operator's file, the environment and the env file; returns the warnings that `hookchain lint` prints."""
Work: TypeAlias = Callable[[], Coroutine[None, None, None]]
"""Does something beside the processes until it is cancelled."""


class Supervisor:
    """The running children with their output, and the setup that is in use.

    `began_at` is the time of the command by the monotonic clock. The banner prints how long the start took.
    """

    def __init__(self, setup: Setup, link: runner.ReaperLink, began_at: float, find_warnings: FindWarnings) -> None:
        self.setup = setup
        self.link = link
        level = setup.options.log_level
        view = output.JsonView(level) if setup.options.production else LogView(level, setup.options.colours)
        self.output = output.Output(view, self.stop, setup.folders.state)
        self.children = children.Children(setup, link, self.output)
        self._began_at = began_at
        self._find_warnings = find_warnings
        self._warnings: Sequence[config_file.Fault] = ()
        self._faults = ""
        """The faults of the configuration on disk if it was rejected; else empty."""
        self._generated = generated_values({}, setup)
        self.output.notes = secret_notes(setup, self._generated)
        self._stopped = asyncio.Event()

    async def run(self, works: Sequence[Work]) -> None:
        """Run until a signal arrives. Once all processes answer, do the works too, of which there is at least one.

        Raises CommandError, and what a work raises.
        """
        self._handle_signals()
        served_configuration.write_slices(self.setup.configuration.slices, self.setup.folders)
        journaling = asyncio.create_task(self.output.requests.run())
        self.children.start()
        try:
            await children.race(
                self._serve(works),
                self._stopped.wait(),
                self.children.raise_first_fault(),
                _outcome_of(journaling),
            )
        finally:
            running_dev.remove_dev_file(self.setup.folders.state)
            await self.children.stop()
            journaling.cancel()  # after the children, since it journals the requests that they report
            await asyncio.wait([journaling])
            self.output.close()
        if self.setup.options.production:
            self.output.announce("Stopped")
        else:
            self.output.show(banner.farewell(self.setup.folders.state))

    def stop(self) -> None:
        """Stop the children, and end `run`. A second call kills them."""
        if self._stopped.is_set():
            self.children.kill()
        self._stopped.set()

    async def change(self, setup: Setup, changed_code: Sequence[str] = ()) -> tuple[str, ...]:
        """Use a new setup, and return the names of the children that were started or restarted.

        A child is restarted if its slice, its command or its environment differs, or if it is in `changed_code`. Raises
        OSError if the slices cannot be written; the old setup then stays in use.
        """
        has_other_buses = buses_of(setup) != buses_of(self.setup)
        other_slices = served_configuration.write_slices(setup.configuration.slices, setup.folders)
        self.setup = setup
        self._generated = generated_values(self._generated, setup)
        self.output.notes = secret_notes(setup, self._generated)
        changed_names = {*other_slices, *changed_code}
        if has_other_buses and not setup.is_aws:
            changed_names.add(children.BUS)  # it creates the topics of the sources' buses when it starts
        restarted = await self.children.change(setup, changed_names)
        self._rewrite_dev_file()
        return restarted

    def publish_faults(self, faults: str) -> None:
        """Show the faults of a rejected configuration on the page; an empty text once a configuration is accepted."""
        self._faults = faults
        self._rewrite_dev_file()

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
        """Wait until all processes answer, print the banner, then do the works."""
        finding_warnings = asyncio.create_task(self.new_warnings())
        await self.children.wait_until_answering()
        self._write_dev_file()
        warnings = await finding_warnings
        seconds = time.monotonic() - self._began_at
        if self.setup.options.production:
            for line in banner.production_banner(self.setup, seconds, warnings):
                self.output.announce(line)
        else:
            self.output.show(banner.banner(self.setup, seconds, warnings))
        await children.race(*[work() for work in works])

    def _rewrite_dev_file(self) -> None:
        """Tell other commands about a change. If that fails, log it, and continue to serve."""
        try:
            self._write_dev_file()
        except OSError as error:
            self.output.say("ERROR", f"other commands do not see this change: {error}")

    def _write_dev_file(self) -> None:
        """Tell other commands what is served, and where."""
        setup = self.setup
        config = setup.configuration.path
        dev = running_dev.DevFile(
            ports=setup.ports,
            trial=banner.trial_without_secret(setup),
            sources=tuple(banner.served_source_lines(setup)),
            config=str(config.absolute()) if config else running_dev.NO_CONFIG,
            by_name=bool(setup.options.with_config(setup.environ).get("HOOKCHAIN_CONFIG")),
            unchanged_since=time.time() if config and not setup.options.reload else None,
            faults=self._faults,
            env_file=str(setup.options.env_file.absolute()),
            env_version=setup.env_version,
            sends_mail=setup.options.send_mail,
            aws=stack.function_environ(setup.ports.apis) if setup.is_aws else None,
        )
        running_dev.write_dev_file(setup.folders.state, dev)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if not self.setup.options.production:  # in production, SIGHUP reloads the configuration
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)


async def _outcome_of(task: asyncio.Task[None]) -> None:
    """Wait for a task, which goes on if this coroutine is cancelled. Raises what the task raises."""
    await asyncio.shield(task)


def buses_of(setup: Setup) -> list[jsontext.Json]:
    """Return the `bus` of each source that has one, with the source's name."""
    sources = compiled_sources(setup.configuration.slices["receive"])
    return [[name, each["bus"]] for name, each in sources.items() if "bus" in each]
