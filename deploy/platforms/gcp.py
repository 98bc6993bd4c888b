"""A deployment on Google Cloud, read and changed with gcloud's sign-in."""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.doctor import google, machine
from deploy.doctor.checks import Subject, configuration_finding, secrets_finding, sender_finding, stored_key
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.api import GoogleApi, Token, token_of
from deploy.google.cloud import CloudDeployment, cloud_deployment, target_of
from deploy.google.gcloud import Answer, Gcloud, configured_project
from deploy.google.target import Target, TargetFault, find_target
from deploy.history.cloud_log import LogQuery, cloud_records
from deploy.history.gcp import open_gcp_state
from deploy.history.gcp_log import GoogleLog
from deploy.history.gcp_status import read_backlogs, read_versions
from deploy.history.log_records import Record
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, PlatformKind, Running, Traits, newest_value, open_ledger
from deploy.terminal.command_error import CommandError
from deploy.terminal.finding import Check, problem
from shared.ledger import Ledger


@dataclass(frozen=True, slots=True)
class GooglePlatform:
    """`where` is the options that name the deployment, for suggested commands."""

    cloud: CloudDeployment
    environ: Mapping[str, str]
    where: str

    @property
    def traits(self) -> Traits:
        return CLOUD

    def sends_mail(self) -> bool:
        return True

    def state(self) -> AbstractContextManager[State]:
        return open_gcp_state(self.cloud.target, self.environ)

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        return open_ledger(self.state())

    def secrets(self) -> SecretManagerBackend:
        return SecretManagerBackend(self.cloud.target, self.cloud.gcloud, self.cloud.api)

    def secret_value(self, name: str) -> str:
        return newest_value(self.secrets(), name, self.where)

    def secret_command(self) -> Callable[[str], str]:
        return self.secrets().how_to_read

    def records(self, query: LogQuery, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:
        return cloud_records(GoogleLog(self.cloud.gcloud, self.cloud.target, query), since, limit, is_followed)

    def running(self, now: float) -> Running:
        versions = read_versions(self.cloud)
        backlogs, notes = read_backlogs(self.cloud, now)
        return Running(versions, backlogs, notes)

    def receive_url(self) -> str:
        return self.cloud.receive_url()

    def serving_url(self) -> str:
        return self.cloud.receive_url()

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str], None]) -> None:
        from deploy.dev.inspector.cloud_app import serve_cloud  # imports a web server

        name = f"{self.cloud.target.bundle} in {self.cloud.target.project}"
        with self.state() as state:
            await serve_cloud(state, name, port, stopped, lambda: announce(name))


def open_google(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> GooglePlatform:
    """Raises TargetFault."""
    return GooglePlatform(cloud_deployment(target_of(options, environ)), environ, where)


def doctor_checks(subject: Subject) -> list[Check]:
    options = subject.options
    try:
        target = find_target(options, subject.environ, lambda: configured_project(_HurriedGcloud()))
    except TargetFault as fault:
        if options.project or options.region or options.prefix:
            raise CommandError(str(fault)) from fault
        message, _, todo = str(fault).partition(": ")
        return [
            *_gcloud_checks(Gcloud(), token_of(Gcloud())),
            Check("project", lambda: problem(message, todo)),
            Check("configuration", partial(configuration_finding, subject)),
            Check("clock", machine.clock),
        ]
    return _checks(subject, target)


def _checks(subject: Subject, target: Target) -> list[Check]:
    runner = Gcloud(target.project)
    token = token_of(runner)
    api = GoogleApi(target.project, token)
    place = SecretManagerBackend(target, runner, api)
    return [
        *_gcloud_checks(runner, token),
        Check("project", partial(google.project, target, api)),
        Check("region", partial(google.region, target, api)),
        Check("billing", partial(google.billing, target, api)),
        Check("apis", partial(google.apis, target, api)),
        Check("policies", partial(organization_policies.policies, target, api)),
        Check("permissions", partial(google.permissions, target, api)),
        Check("configuration", partial(configuration_finding, subject)),
        Check("secrets", partial(secrets_finding, subject, place)),
        Check("sender", partial(sender_finding, subject, partial(stored_key, place), False)),
        Check("clock", machine.clock),
    ]


def _gcloud_checks(runner: Gcloud, token: Token) -> list[Check]:
    return [
        Check("gcloud", partial(google.gcloud, runner)),
        Check("gcloud run", partial(google.gcloud_flags, runner)),
        Check("signed in", partial(google.signed_in, runner, token)),
    ]


class _HurriedGcloud:
    """gcloud with a short time limit: every other check waits for the project's name."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 10.0) -> Answer:
        return Gcloud().run(arguments, stdin, min(timeout_seconds, 10.0))


KIND: Final = PlatformKind(open_google, doctor_checks)
