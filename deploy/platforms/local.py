"""This machine: the state folder of `hookchain dev`, its processes, and the secrets in `.env`."""

import argparse
import asyncio
import datetime
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from deploy.config.checkout import own_env_file, state_folder
from deploy.config.running_dev import HOST, is_free, is_sending_mail, owner_of, port_base, read_aws_environ
from deploy.dev.local_status import local_backlogs, local_version
from deploy.doctor import machine
from deploy.doctor.checks import (
    Subject,
    configuration_finding,
    database_checks,
    deliveries_finding,
    secrets_finding,
    sender_finding,
    sharing_checks,
)
from deploy.history.forget import CaughtMails
from deploy.history.local import local_ports, open_local_ledger, open_local_state, open_local_stores, running_ports
from deploy.history.local_log import local_records
from deploy.history.logs import LogQuery, Record
from deploy.history.state import State, SubscriberStores
from deploy.platforms.platform import PlatformKind, Running, Traits
from deploy.secrets.backend import DotenvBackend
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check
from shared.cloud.local.database import reason_of
from shared.ledger import Ledger

TRAITS: Final = Traits(is_local=True, sweep_seconds=10.0, smoke_seconds=30.0, poll_seconds=0.1)


@dataclass(frozen=True, slots=True)
class LocalPlatform:
    folder: Path
    env_file: Path
    environ: Mapping[str, str]

    @property
    def traits(self) -> Traits:
        return TRAITS

    def sends_mail(self) -> bool:
        return is_sending_mail(self.folder)

    @contextmanager
    def state(self) -> Iterator[State]:
        try:
            with open_local_state(self.folder) as state:
                yield state
        except sqlite3.Error as fault:
            raise CommandError(f"{self.folder}: {reason_of(fault)}") from fault

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        return open_local_ledger(self.folder)

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        if not self.folder.is_dir():
            raise CommandError(f"{self.folder} does not exist. `make dev` creates it; --state names another folder.")
        return open_local_stores(self.folder)

    @contextmanager
    def caught_mails(self) -> Iterator[CaughtMails | None]:
        from deploy.dev.caught import open_caught  # belongs to the emulated services, and is seldom needed

        with open_caught(self.folder) as caught:
            yield caught

    def secrets(self) -> DotenvBackend:
        mounted = Path(self.environ.get("SECRETS_DIR") or "/secrets")
        return DotenvBackend(self.env_file, os.environ, mounted, datetime.datetime.now(datetime.UTC).date())

    def secret_value(self, name: str) -> str:
        from deploy.requests.send_options import read_secret  # imports the catalogue

        try:
            return read_secret(name, self.environ)
        except ValueError as error:
            raise CommandError(str(error)) from error

    def secret_command(self) -> None:
        return None

    def records(self, query: LogQuery, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:  # noqa: ARG002 the protocol's
        """Yield all records: the file is read as a whole."""
        return local_records(self.folder, since, is_followed)

    def running(self, now: float) -> Running:
        return Running([local_version(self.folder)], local_backlogs(self.folder, now))

    def subscribe_url(self) -> str:
        running = running_ports(self.folder)
        if running is not None and not running.subscribe:
            raise CommandError("the running `hookchain dev` has no subscribers: it uses another configuration")
        return f"http://{HOST}:{local_ports(self.folder, self.environ, has_subscribers=True).subscribe}"

    def receive_url(self) -> str:
        return f"http://{HOST}:{local_ports(self.folder, self.environ).receive}"

    def serving_url(self) -> str:
        ports = running_ports(self.folder)
        if ports is None:
            hint = "Start `make dev`, or use --platform gcp or --platform aws."
            raise CommandError(f"no `hookchain dev` runs with {self.folder}. {hint}")
        return f"http://{HOST}:{ports.receive}"

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str, str], None]) -> None:
        from deploy.dev.inspector.app import serve  # imports a web server

        aws = read_aws_environ(self.folder)
        name = f"the events in the local AWS of {self.folder}" if aws else f"the events in {self.folder}"
        environ = aws or self.environ
        await serve(port, self.folder, environ, stopped, lambda url: announce(url, name), is_aws=aws is not None)


def open_local(options: argparse.Namespace, environ: Mapping[str, str], where: str = "") -> LocalPlatform:  # noqa: ARG001 a platform's
    """Return this machine. Not every command has the options --state and --env-file."""
    folder = getattr(options, "state", None) or state_folder()
    return LocalPlatform(folder, getattr(options, "env_file", own_env_file()), environ)


def local_checks(subject: Subject) -> list[Check]:
    options = subject.options
    place = open_local(options, subject.environ).secrets()
    base = port_base(subject.environ)
    return [
        Check("python", machine.python),
        Check("make", machine.make),
        Check("configuration", partial(configuration_finding, subject)),
        Check(".env", partial(machine.env_file, options.env_file)),
        Check("secrets", partial(secrets_finding, subject, place)),
        Check("ports", partial(machine.ports, base, options.state, is_free, owner_of)),
        Check("disk", partial(machine.disk, options.state)),
        Check("sender", partial(sender_finding, subject, lambda: subject.environ.get("SENDGRID_API_KEY"), True)),
        Check("deliveries", partial(deliveries_finding, subject)),
        *database_checks(subject, place, is_local=True),
        *sharing_checks(subject, place, catches=True),
        Check("clock", machine.clock),
    ]


KIND: Final = PlatformKind(open_local, local_checks)
