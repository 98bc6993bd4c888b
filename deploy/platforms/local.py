"""This machine: the state folder of `hookchain dev`, its processes, and the secrets in `.env`."""

import argparse
import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.config import checkout, local_ports, running_dev
from deploy.config.page_token import page_token, page_url
from deploy.config.probe import silent_processes
from deploy.dev.pubsub.store import FILE_NAME as BUS, read_waiting
from deploy.doctor import checks, machine, senders, shared_files
from deploy.history import forget, local, local_log, logs
from deploy.history.ports import TapPorts
from deploy.history.source_access import SourceAccess, local_access
from deploy.history.state import State, SubscriberStores
from deploy.history.status import Backlog, Version
from deploy.platforms.platform import PlatformKind, Running, Traits
from deploy.secrets.backend import DotenvBackend, local_secrets
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check
from shared.cloud.local.database import reason_of
from shared.ledger import Ledger

RELOAD_SECONDS: Final = 30.0
"""`hookchain dev` reads a changed .env within a few seconds."""
TRAITS: Final = Traits(is_local=True, sweep_seconds=10.0, smoke_seconds=30.0, poll_seconds=0.1)


def local_version(folder: Path) -> Version:
    """Return the process that runs with the folder. Its `version` is the URL of the page."""
    ports = local.running_ports(folder)
    if ports is None:
        name = running_dev.command_of(folder)
        return Version(name, version="", since=None, trouble=f"not up: {running_dev.start_command(folder)}")
    since = (folder / running_dev.FILE_NAME).stat().st_mtime
    silent = asyncio.run(silent_processes(ports.named()))
    trouble = f"no answer from {', '.join(silent)}: hookchain logs" if silent else ""
    if running_dev.is_production(folder):
        if not trouble and running_dev.is_paused(folder):
            trouble = f"{running_dev.NOT_RESUMED}: {running_dev.RESUME_ALL}"
        return Version("hookchain serve", f"http://{local_ports.HOST}:{ports.inspector}/", since, trouble)
    name = "hookchain dev" if running_dev.read_aws_environ(folder) is None else "hookchain dev, local AWS"
    return Version(name, page_url(ports.inspector, page_token(folder)), since, trouble)


def local_backlogs(folder: Path, now: float) -> list[Backlog]:
    """Return the backlogs of the emulated bus, or of the local AWS. Raises CommandError if it cannot be read."""
    if aws := local.running_aws(folder):
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


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    """The Platform of this machine: what `hookchain dev` or `hookchain serve` has in a state folder."""

    folder: Path
    env_file: Path
    environ: Mapping[str, str]

    @property
    def traits(self) -> Traits:
        return TRAITS

    def sends_mail(self) -> bool:
        dev = running_dev.read_dev_file(self.folder)
        return dev is not None and dev.sends_mail

    @contextmanager
    def state(self) -> Iterator[State]:
        try:
            with local.open_local_state(self.folder) as state:
                yield state
        except sqlite3.Error as fault:
            raise CommandError(f"{self.folder}: {reason_of(fault)}") from fault

    def tap(self) -> TapPorts:
        raise CommandError("this machine has no tap: `make dev` has every event. Set --platform gcp or aws")

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        return local.open_local_ledger(self.folder)

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        if not self.folder.is_dir():
            raise CommandError(f"{self.folder} does not exist. `make dev` creates it. {running_dev.OTHER_FOLDER}")
        return local.open_local_stores(self.folder)

    @contextmanager
    def caught_mails(self) -> Iterator[forget.CaughtMails | None]:
        # Imported here, because it belongs to the emulated services and is seldom needed.
        from deploy.dev.caught import open_caught

        with open_caught(self.folder) as caught:
            yield caught

    def secrets(self) -> DotenvBackend:
        return local_secrets(self.env_file, self.environ)

    def seconds_until_read(self, stored_at: float, now: float) -> float:  # noqa: ARG002 a platform's
        """Return the rest of the time in which `hookchain dev` reads the changed env file; 0 if it has, or if nothing
        runs.

        Raises CommandError if it should have by now, or if only a signal makes `hookchain serve` read the file.
        """
        dev = running_dev.read_dev_file(self.folder)
        changed_at = dev.env_changed_at(self.env_file) if dev else None
        if changed_at is None:
            return 0.0
        left = changed_at + RELOAD_SECONDS - now
        is_production = running_dev.is_production(self.folder)
        if left > 0 and not is_production:
            return left
        rule = f"`{running_dev.command_of(self.folder)}` has not read {self.env_file} since it was changed"
        advice = "Send it SIGHUP" if is_production else "Correct the configuration, or start it again"
        again = "then run the command again: it continues"
        raise CommandError(f"{rule}, and would reject what is signed with a new value. {advice}, {again}")

    def secret_value(self, name: str) -> str:
        # Imported here, because it imports the catalogue, which is slow.
        from deploy.requests.send_options import read_secret

        try:
            return read_secret(name, self.environ)
        except ValueError as error:
            raise CommandError(str(error)) from error

    def source_access(self) -> SourceAccess:
        return local_access(self.folder, self.secrets, self.environ)

    def secret_command(self) -> None:
        """Return None: on this machine, secrets are variables."""

    def records(
        self,
        query: logs.LogQuery,  # noqa: ARG002 the protocol's
        since: float,
        limit: int,  # noqa: ARG002 the protocol's
        is_followed: bool,
    ) -> Iterator[logs.Record | None]:
        """Yield all records since then. The log file is short, so `query` and `limit` are applied by the caller."""
        return local_log.local_records(self.folder, since, is_followed)

    def running(self, now: float) -> Running:
        notes = list(local.ledger_faults(self.folder))
        disk = machine.disk(self.folder)
        if disk.verdict == "problem":
            notes.append(f"whether events are accepted: {disk.found}; {disk.todo}")
        return Running([local_version(self.folder)], local_backlogs(self.folder, now), notes=notes)

    def subscribe_url(self) -> str:
        running = local.running_ports(self.folder)
        if running is not None and not running.subscribe:
            raise CommandError("the running `hookchain dev` has no subscribers: it uses another configuration")
        ports = local.expected_ports(self.folder, self.environ, has_subscribers=True)
        return f"http://{local_ports.HOST}:{ports.subscribe}"

    def receive_url(self) -> str:
        return f"http://{local_ports.HOST}:{local.expected_ports(self.folder, self.environ).receive}"

    def serving_url(self) -> str:
        ports = local.running_ports(self.folder)
        if ports is None:
            command = running_dev.start_command(self.folder)
            hint = f"Start `{command}`, or use --platform gcp or --platform aws. {running_dev.OTHER_FOLDER}"
            raise CommandError(f"no `{running_dev.command_of(self.folder)}` runs with {self.folder}. {hint}")
        return f"http://{local_ports.HOST}:{ports.receive}"

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str, str], None]) -> None:
        # Imported here, because it imports a web server, which is seldom needed.
        from deploy.dev.inspector.app import serve

        aws = running_dev.read_aws_environ(self.folder)
        name = f"the events in the local AWS of {self.folder}" if aws else f"the events in {self.folder}"
        environ = aws or self.environ
        await serve(port, self.folder, environ, stopped, lambda url: announce(url, name), is_aws=aws is not None)


def open_local(options: argparse.Namespace, environ: Mapping[str, str], where: str = "") -> LocalPlatform:  # noqa: ARG001 a platform's
    """Return this machine. Not every command has the options --state and --env-file."""
    folder = getattr(options, "state", None) or checkout.state_folder()
    return LocalPlatform(folder, getattr(options, "env_file", checkout.own_env_file()), environ)


def _process_checks(folder: Path) -> list[Check]:
    """Return the check of what runs; none if no `hookchain dev` runs with the folder."""
    if local.running_ports(folder) is None:
        return []
    command = running_dev.start_command(folder)
    return [
        Check(
            command.removeprefix("hookchain "),
            lambda: machine.processes(local_version(folder).trouble, list(local.ledger_faults(folder)), command),
        )
    ]


def local_checks(subject: checks.Subject) -> list[Check]:
    options = subject.options
    here = open_local(options, subject.environ)
    backend = here.secrets()
    base = local_ports.port_base(subject.environ)
    is_production = running_dev.is_production(options.state)
    catches = not is_production
    read_key = partial(subject.environ.get, "SENDGRID_API_KEY")
    return [
        Check("python", machine.python),
        Check("make", machine.make),
        Check("configuration", partial(checks.configuration_finding, subject)),
        Check(".env", partial(machine.env_file, options.env_file)),
        Check("secrets", partial(checks.secrets_finding, subject, backend, is_server=is_production)),
        Check("ports", partial(machine.ports, base, options.state)),
        *_process_checks(options.state),
        Check("disk", partial(machine.disk, options.state)),
        Check("sender", partial(senders.sendgrid_senders, subject, read_key, catches=catches)),
        Check("deliveries", partial(checks.deliveries_finding, subject)),
        Check("sources", partial(checks.sources_finding, subject, here.state, here.source_access())),
        *checks.database_checks(subject, backend, is_local=True),
        *shared_files.sharing_checks(subject, backend, catches=catches),
        Check("clock", machine.clock),
    ]


KIND: Final = PlatformKind(open_local, local_checks)
