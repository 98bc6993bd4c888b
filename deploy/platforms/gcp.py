"""A deployment on Google Cloud, read and changed with gcloud's sign-in."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from deploy.cloud_access import gcp
from deploy.cloud_access.gcp_names import Target, TargetFault, account_email, find_target
from deploy.doctor import buses, checks, google, machine, places, senders, shared_files
from deploy.gcp import organization_policies
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.history import gcp_logs, gcp_status, logs, ports
from deploy.history.gcp import deployment_ports, open_gcp_state
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, CloudPlatform, PlatformKind, Running, Traits
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Check, problem_of
from deploy.topology.monitoring import MetricCount, MetricWindow


class GooglePlatform(CloudPlatform[gcp.CloudDeployment]):
    @property
    def name(self) -> str:
        return f"{self.deployment.target.bundle} in {self.deployment.target.project}"

    @property
    def traits(self) -> Traits:
        return CLOUD

    def state(self) -> AbstractContextManager[State]:
        return open_gcp_state(self.deployment.target, self.environ)

    def tap(self) -> ports.TapPorts:
        return deployment_ports(self.deployment.target, self.environ)

    def secrets(self) -> SecretBackend:
        return SecretManagerBackend(self.deployment.target, self.deployment.gcloud, self.deployment.api)

    def log(self, query: logs.LogQuery) -> gcp_logs.GoogleLog:
        return gcp_logs.GoogleLog(self.deployment.gcloud, self.deployment.target, query)

    def counts(self, window: MetricWindow) -> list[MetricCount]:
        return gcp_status.read_counts(self.deployment, window)

    def running(self, now: float) -> Running:
        return Running(gcp_status.read_versions(self.deployment), *gcp_status.read_backlogs(self.deployment, now))


def open_google(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> GooglePlatform:
    """Return the deployment. Raises TargetFault."""
    return GooglePlatform(gcp.cloud_deployment(gcp.target_of(options, environ)), environ, where)


def gcp_checks(subject: checks.Subject) -> list[Check]:
    """Return the checks of `hookchain doctor`. A check comes after the checks of what it depends on.

    Without a project, only gcloud, the configuration and the clock can be checked further.
    """
    options = subject.options
    configuration = Check("configuration", partial(checks.configuration_finding, subject))
    clock = Check("clock", machine.clock)
    try:
        target = find_target(options, subject.environ, lambda: gcp.configured_project(gcp.Gcloud()))
    except TargetFault as fault:
        if options.project or options.region or options.prefix:
            raise  # a wrong option is an error of the command itself, and no finding about this machine
        runner = gcp.Gcloud()
        project = Check("project", partial(problem_of, fault))
        return [*_gcloud_checks(runner, gcp.token_of(runner)), project, configuration, clock]
    runner = gcp.Gcloud(target.project)
    token = gcp.token_of(runner)  # one for all checks: it asks gcloud only once
    api = gcp.GoogleApi(target.project, token)
    return [
        *_gcloud_checks(runner, token),
        *_project_checks(target, api),
        configuration,
        *_configuration_checks(subject, gcp.CloudDeployment(target, runner, api)),
        clock,
    ]


def _gcloud_checks(runner: gcp.Gcloud, token: gcp.Token) -> list[Check]:
    return [
        Check("gcloud", partial(google.gcloud, runner)),
        Check("gcloud run", partial(google.gcloud_flags, runner)),
        Check("signed in", partial(google.signed_in, runner, token)),
    ]


def _project_checks(target: Target, api: gcp.GoogleApi) -> list[Check]:
    return [
        Check("project", partial(google.project, target, api)),
        Check("region", partial(google.region, target, api)),
        Check("billing", partial(google.billing, target, api)),
        Check("apis", partial(google.apis, target, api)),
        Check("policies", partial(organization_policies.policies, target, api)),
        Check("permissions", partial(google.permissions, target, api)),
    ]


def _configuration_checks(subject: checks.Subject, deployment: gcp.CloudDeployment) -> list[Check]:
    """Return the checks of what the configuration names: secrets, senders, sources, and places outside the project."""
    target = deployment.target
    platform = GooglePlatform(deployment, subject.environ, subject.where)
    backend = platform.secrets()
    return [
        Check("secrets", partial(checks.secrets_finding, subject, backend)),
        Check("sender", partial(senders.sendgrid_senders, subject, partial(senders.stored_key, backend))),
        Check("sources", partial(checks.sources_finding, subject, platform.state, platform.source_access())),
        *buses.bus_checks(subject, partial(buses.buses_on_google, project=target.project)),
        *checks.database_checks(subject, backend),
        *shared_files.sharing_checks(subject, backend, account_email(target, "notify")),
        *places.place_checks(subject, partial(places.google_places, target, deployment.api)),
    ]


KIND: Final = PlatformKind(open_google, gcp_checks)
