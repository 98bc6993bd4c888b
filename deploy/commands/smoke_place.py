"""Where the smoke test goes: this machine's `hookchain dev`, or the functions on Google Cloud."""

import argparse
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from deploy.commands.cloud import Cloud, cloud_of
from deploy.commands.local_bus import told_ports
from deploy.commands.local_state import LocalState, StateFault, opened
from deploy.commands.logs_cloud import Wanted, log_filter, read_records
from deploy.commands.operator_command import CannotTell, Configured, is_gcp, target_of
from deploy.commands.send_secret import secret_named
from deploy.commands.smoke_sight import Sight, sight_of_log, sight_of_records
from deploy.local.supervisor.dev_file import is_sending_mail
from deploy.local.supervisor.ports import HOST
from deploy.secrets.place import PlaceFault
from deploy.secrets.secret_manager_place import SecretManagerPlace

LOCAL_SECONDS: Final = 30.0
CLOUD_SECONDS: Final = 120.0
"""A function that has to start first takes seconds, and a log line some more until it can be read."""
CLOCKS_APART_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """`sends_mail`: to people, and not into a mailbox that only the page shows."""

    base_url: str
    secret_of: Callable[[str], str]
    look: Callable[[str, float], Sight]
    longest_seconds: float
    pause_seconds: float
    sends_mail: bool


@contextmanager
def place_of(options: argparse.Namespace, have: Configured) -> Iterator[Place]:
    """Raises CannotTell, TargetFault and GcloudMissing."""
    if is_gcp(options):
        yield _in_cloud(cloud_of(target_of(options, have.environ)))
        return
    ports = told_ports(options.state)
    if ports is None and options.to is None:
        raise CannotTell(f"no `hookchain dev` is up with {options.state}: start `make dev`, or say --platform gcp")
    try:
        with opened(options.state) as state:
            yield _here(state, f"http://{HOST}:{ports.receive}" if ports else "", have, is_sending_mail(options.state))
    except (StateFault, sqlite3.Error) as fault:
        raise CannotTell(str(fault)) from fault


def _here(state: LocalState, base_url: str, have: Configured, sends_mail: bool) -> Place:
    def secret_of(name: str) -> str:
        try:
            return secret_named(name, have.environ)
        except ValueError as error:
            raise CannotTell(str(error)) from error

    def look(event_id: str, _: float) -> Sight:
        record = state.reader.event(event_id)
        return sight_of_records(record, state.deliveries(event_id) if record else ())

    return Place(base_url, secret_of, look, LOCAL_SECONDS, 0.1, sends_mail)


def _in_cloud(cloud: Cloud) -> Place:
    secrets = SecretManagerPlace(cloud.target, cloud.gcloud, cloud.api)

    def secret_of(name: str) -> str:
        try:
            kept = secrets.find([name]).get(name)
        except PlaceFault as fault:
            raise CannotTell(str(fault)) from fault
        if kept is None or not kept.values:
            why = kept.trouble if kept and kept.trouble else "is not there"
            raise CannotTell(f"secret {name!r} {why}: hookchain secrets set {name} --platform gcp")
        return kept.values[0]

    def look(event_id: str, posted_at: float) -> Sight:
        since = posted_at - CLOCKS_APART_SECONDS
        query = log_filter(cloud.target, Wanted(event=event_id), since)
        return sight_of_log(read_records(cloud.gcloud, cloud.target, query, "asc"), event_id)

    return Place(cloud.receive_url(), secret_of, look, CLOUD_SECONDS, 1.0, True)
