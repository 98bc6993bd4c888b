"""A stack on AWS, read and changed with the credentials that boto3 finds."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Final

from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.cloud_access.aws import AwsApi, DeployedStack, configured_region
from deploy.cloud_access.aws_names import StackTarget, find_target
from deploy.config.config_file import ConfigFaults
from deploy.doctor import aws, buses, checks, machine, places, senders, shared_files
from deploy.history.aws import open_aws_state, stack_ports
from deploy.history.aws_logs import CloudWatchLog
from deploy.history.aws_status import read_backlogs, read_counts, read_versions
from deploy.history.logs import LogQuery
from deploy.history.ports import TapPorts
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, CloudPlatform, PlatformKind, Running, Traits
from deploy.secrets.needs import mail_transports
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check, Finding, problem
from deploy.topology.monitoring import MetricCount, MetricWindow
from deploy.topology.topology import find_topology
from shared.settings import read_settings

CLOCK: Final = Check("clock", partial(machine.clock, machine.AWS_CLOCK))


def aws_checks(subject: checks.Subject) -> list[Check]:
    options = subject.options
    always = [
        Check("configuration", partial(checks.configuration_finding, subject)),
        CLOCK,
    ]
    if not aws.has_boto3():
        return [Check("boto3", aws.boto3), *always]
    try:
        target = find_target(options, subject.environ, configured_region)
    except CommandError as fault:
        if options.stack or options.region or options.prefix:
            raise
        message, _, todo = str(fault).partition(": ")
        return [Check("boto3", aws.boto3), Check("region", lambda: problem(message, todo)), *always]
    return _checks(subject, target)


def _checks(subject: checks.Subject, target: StackTarget) -> list[Check]:
    api = AwsApi(target.region, subject.environ)
    backend = SecretsManagerBackend(target, api)
    deployed = DeployedStack(target, api)
    there = AwsPlatform(deployed, subject.environ, subject.where)
    stack = aws.StackChecks(deployed)
    compiled = subject.compiled
    topology = None if isinstance(compiled, ConfigFaults) else find_topology(compiled.slices, subject.environ)
    return [
        Check("boto3", aws.boto3),
        Check("credentials", partial(aws.credentials, api)),
        Check("region", partial(aws.region, api)),
        Check("stack", stack.stack),
        Check("receive", stack.receive),
        Check("queues", stack.queues),
        Check("tables", stack.tables),
        *([Check("concurrency", partial(aws.concurrency, deployed, topology))] if topology else ()),
        Check("configuration", partial(checks.configuration_finding, subject)),
        Check("secrets", partial(checks.secrets_finding, subject, backend, has_ses=True)),
        Check("sender", partial(_sender, subject, backend, api)),
        Check("sources", partial(checks.sources_finding, subject, there.state, there.source_access())),
        *buses.bus_checks(subject, buses.buses_on_aws),
        *checks.database_checks(subject, backend),
        *shared_files.sharing_checks(subject, backend),
        *places.place_checks(subject, partial(places.aws_places, api)),
        CLOCK,
    ]


def _sender(subject: checks.Subject, backend: SecretsManagerBackend, api: AwsApi) -> Finding:
    """Check the senders at the mail service that notify chooses: SendGrid if it has its key, else SMTP, else SES."""
    key = senders.stored_key(backend)
    check_sendgrid = partial(senders.sendgrid_senders, subject, lambda: key)
    if isinstance(subject.compiled, ConfigFaults):
        return check_sendgrid()
    settings = read_settings(subject.environ)
    transports = mail_transports(subject.notify)
    is_ses_automatic = key is None and not settings.smtp_url
    ses_values = {"ses", "auto"} if is_ses_automatic else {"ses"}
    by_ses = [name for name, via in transports.items() if via in ses_values]
    if not by_ses:
        return check_sendgrid()
    if len(by_ses) < len(transports) and (other := check_sendgrid()).verdict == "problem":
        return other
    return senders.ses_senders(api, subject.notify, by_ses, settings.email_from)


TRAITS: Final = replace(CLOUD, has_ses=True)


class AwsPlatform(CloudPlatform[DeployedStack]):
    @property
    def name(self) -> str:
        return f"{self.deployment.target.stack} in {self.deployment.target.region}"

    @property
    def traits(self) -> Traits:
        return TRAITS

    def state(self) -> AbstractContextManager[State]:
        return open_aws_state(self.deployment, self.environ)

    def tap(self) -> TapPorts:
        return stack_ports(self.deployment)

    def secrets(self) -> SecretsManagerBackend:
        return SecretsManagerBackend(self.deployment.target, self.deployment.api)

    def log(self, query: LogQuery) -> CloudWatchLog:
        return CloudWatchLog(self.deployment.api, self.deployment.target, query)

    def counts(self, window: MetricWindow) -> list[MetricCount]:
        return read_counts(self.deployment, window)

    def running(self, now: float) -> Running:
        return Running(read_versions(self.deployment), *read_backlogs(self.deployment, now))


def open_aws(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> AwsPlatform:
    """Return the deployment. Raises CommandError."""
    target = find_target(options, environ, configured_region)
    return AwsPlatform(DeployedStack(target, AwsApi(target.region, environ)), environ, where)


KIND: Final = PlatformKind(open_aws, aws_checks)
