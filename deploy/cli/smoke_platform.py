"""The platform that the smoke test runs on: the `hookchain dev` of this machine, or the functions on Google Cloud."""

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.cli.smoke_follow import EventState, state_from_logs, state_from_records
from deploy.config.configured import Configured
from deploy.config.dev_file import is_sending_mail
from deploy.config.ports import HOST
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.cloud import CloudDeployment, cloud_deployment
from deploy.history.gcp_log import LogQuery, log_filter, read_records
from deploy.history.journal_view import EventQuery
from deploy.history.local import running_ports
from deploy.history.platform_options import is_gcp, same_platform, target_of
from deploy.history.state import State, open_state
from deploy.requests.credentials import read_secret
from deploy.secrets.backend import BackendError
from deploy.terminal.command_error import CommandError
from shared.errors import HookchainError

LOCAL_SECONDS: Final = 30.0
CLOUD_SECONDS: Final = 120.0
"""A function may take seconds to start, and a log line some more until it can be read."""
TRIES: Final = 20
PAUSE_SECONDS: Final = 0.5
CLOCKS_APART_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class SmokePlatform:
    """`sends_mail` is true if mail reaches people rather than the page's mailbox. `newest` returns the id of a source's
    newest event since a time, for providers whose reply names none."""

    base_url: str
    secret_of: Callable[[str], str]
    look: Callable[[str, float], EventState]
    newest: Callable[[str, float], str | None]
    longest_seconds: float
    pause_seconds: float
    sends_mail: bool


@contextmanager
def open_platform(options: argparse.Namespace, have: Configured) -> Iterator[SmokePlatform]:
    """Raises CommandError, TargetFault and GcloudMissing."""
    if not is_gcp(options) and options.to is None and running_ports(options.state) is None:
        raise CommandError(f"no `hookchain dev` runs with {options.state}. Start `make dev`, or use --platform gcp.")
    try:
        with open_state(options, have.environ) as state:
            if is_gcp(options):
                yield _in_cloud(state, cloud_deployment(target_of(options, have.environ)), same_platform(options))
            else:
                yield _here(state, options, have)
    except sqlite3.Error as fault:
        raise CommandError(str(fault)) from fault


def _here(state: State, options: argparse.Namespace, have: Configured) -> SmokePlatform:
    def secret_of(name: str) -> str:
        try:
            return read_secret(name, have.environ)
        except ValueError as error:
            raise CommandError(str(error)) from error

    ports = running_ports(options.state)
    base_url = f"http://{HOST}:{ports.receive}" if ports else ""
    look, newest = partial(_look, state), partial(_newest, state)
    return SmokePlatform(base_url, secret_of, look, newest, LOCAL_SECONDS, 0.1, is_sending_mail(options.state))


def _look(state: State, event_id: str, _: float) -> EventState:
    return _read_progress(state, event_id)


def _read_progress(state: State, event_id: str) -> EventState:
    record = state.reader.event(event_id)
    return state_from_records(record, state.deliveries(event_id) if record else ())


def _in_cloud(state: State, cloud: CloudDeployment, where: str) -> SmokePlatform:
    secrets = SecretManagerBackend(cloud.target, cloud.gcloud, cloud.api)

    def secret_of(name: str) -> str:
        try:
            stored = secrets.find([name]).get(name)
        except BackendError as fault:
            raise CommandError(str(fault)) from fault
        if stored is None or not stored.values:
            why = stored.trouble if stored and stored.trouble else "does not exist"
            raise CommandError(f"secret {name!r} {why}: hookchain secrets set {name}{where}")
        return stored.values[0]

    look, newest = _CloudLook(state, cloud), partial(_newest, state)
    return SmokePlatform(cloud.receive_url(), secret_of, look, newest, CLOUD_SECONDS, 1.0, True)


def _newest(state: State, source: str, since: float) -> str | None:
    for _ in range(TRIES):
        if events := state.reader.events(EventQuery(source=source, since=since, limit=1)).events:
            return events[0].id
        time.sleep(PAUSE_SECONDS)
    return None


class _CloudLook:
    """Reads journal and ledger, or the functions' logs, which are some seconds behind, if those cannot be read."""

    def __init__(self, state: State, cloud: CloudDeployment) -> None:
        self._state = state
        self._cloud = cloud
        self._is_journal_read = True

    def __call__(self, event_id: str, posted_at: float) -> EventState:
        if self._is_journal_read:
            try:
                return _read_progress(self._state, event_id)
            except HookchainError as fault:
                self._is_journal_read = False
                print(f"the journal cannot be read; reading the logs instead: {fault.detail}", file=sys.stderr)
        query = log_filter(self._cloud.target, LogQuery(event=event_id), posted_at - CLOCKS_APART_SECONDS)
        return state_from_logs(read_records(self._cloud.gcloud, self._cloud.target, query, "asc"), event_id)
