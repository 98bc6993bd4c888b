"""A deployment on Google Cloud, read and changed with gcloud's sign-in."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from deploy.cloud_access.gcp import (
    Answer,
    CloudDeployment,
    Gcloud,
    GoogleApi,
    Token,
    cloud_deployment,
    configured_project,
    target_of,
    token_of,
)
from deploy.cloud_access.gcp_names import Target, TargetFault, account_email, find_target
from deploy.doctor import google, machine
from deploy.doctor.checks import (
    Subject,
    bus_checks,
    configuration_finding,
    database_checks,
    place_checks,
    secrets_finding,
    sender_finding,
    sharing_checks,
    sources_finding,
    stored_key,
)
from deploy.doctor.places import buses_on_google, google_places
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.history.gcp import GoogleLog, open_gcp_state, read_backlogs, read_versions
from deploy.history.logs import LogQuery
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, CloudPlatform, PlatformKind, Running, Traits
from deploy.secrets.backend import SecretBackend
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check, problem


def gcp_checks(subject: Subject) -> list[Check]:
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
    there = GooglePlatform(CloudDeployment(target, runner, api), subject.environ, subject.where)
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
        Check("sources", partial(sources_finding, subject, there.state, there.source_access())),
        *bus_checks(subject, partial(buses_on_google, project=target.project)),
        *database_checks(subject, place),
        *sharing_checks(subject, place, account_email(target, "notify")),
        *place_checks(subject, partial(google_places, target, api)),
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


class GooglePlatform(CloudPlatform[CloudDeployment]):
    @property
    def name(self) -> str:
        return f"{self.deployment.target.bundle} in {self.deployment.target.project}"

    @property
    def traits(self) -> Traits:
        return CLOUD

    def state(self) -> AbstractContextManager[State]:
        return open_gcp_state(self.deployment.target, self.environ)

    def secrets(self) -> SecretBackend:
        return SecretManagerBackend(self.deployment.target, self.deployment.gcloud, self.deployment.api)

    def log(self, query: LogQuery) -> GoogleLog:
        return GoogleLog(self.deployment.gcloud, self.deployment.target, query)

    def running(self, now: float) -> Running:
        versions = read_versions(self.deployment)
        backlogs, notes = read_backlogs(self.deployment, now)
        return Running(versions, backlogs, notes)


def open_google(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> GooglePlatform:
    """Raises TargetFault."""
    return GooglePlatform(cloud_deployment(target_of(options, environ)), environ, where)


KIND: Final = PlatformKind(open_google, gcp_checks)
