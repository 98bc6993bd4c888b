"""A stack on AWS, read and changed with the credentials that boto3 finds."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Final

from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.cloud_access.aws import AwsApi, DeployedStack, configured_region
from deploy.cloud_access.aws_names import find_target
from deploy.config.config_file import ConfigFaults
from deploy.doctor import aws, buses, checks, machine, places, senders, shared_files
from deploy.history import aws_logs, aws_status, logs, ports
from deploy.history.aws import open_aws_state, stack_ports
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, CloudPlatform, PlatformKind, Running, Traits
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check, problem_of
from deploy.topology.monitoring import MetricCount, MetricWindow
from deploy.topology.topology import find_topology

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

    def tap(self) -> ports.TapPorts:
        return stack_ports(self.deployment)

    def secrets(self) -> SecretsManagerBackend:
        return SecretsManagerBackend(self.deployment.target, self.deployment.api)

    def log(self, query: logs.LogQuery) -> aws_logs.CloudWatchLog:
        return aws_logs.CloudWatchLog(self.deployment.api, self.deployment.target, query)

    def counts(self, window: MetricWindow) -> list[MetricCount]:
        return aws_status.read_counts(self.deployment, window)

    def running(self, now: float) -> Running:
        return Running(aws_status.read_versions(self.deployment), *aws_status.read_backlogs(self.deployment, now))


def open_aws(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> AwsPlatform:
    """Return the deployment. Raises CommandError."""
    target = find_target(options, environ, configured_region)
    return AwsPlatform(DeployedStack(target, AwsApi(target.region, environ)), environ, where)


def aws_checks(subject: checks.Subject) -> list[Check]:
    """Return the checks of `hookchain doctor`. A check comes after the checks of what it depends on.

    Without boto3 or a region, only the configuration and the clock can be checked further.
    """
    options = subject.options
    boto3 = Check("boto3", aws.boto3)
    configuration = Check("configuration", partial(checks.configuration_finding, subject))
    clock = Check("clock", partial(machine.clock, machine.AWS_CLOCK))
    if not aws.has_boto3():
        return [boto3, configuration, clock]
    try:
        target = find_target(options, subject.environ, configured_region)
    except CommandError as fault:
        if options.stack or options.region or options.prefix:
            raise  # a wrong option is an error of the command itself, and no finding about this machine
        return [boto3, Check("region", partial(problem_of, fault)), configuration, clock]
    deployed = DeployedStack(target, AwsApi(target.region, subject.environ))
    return [
        boto3,
        *_stack_checks(subject, deployed),
        configuration,
        *_configuration_checks(subject, deployed),
        clock,
    ]


def _stack_checks(subject: checks.Subject, deployed: DeployedStack) -> list[Check]:
    """Return the checks of the account and of the deployed stack."""
    stack = aws.StackChecks(deployed)
    stack_checks = [
        Check("credentials", partial(aws.credentials, deployed.api)),
        Check("region", partial(aws.region, deployed.api)),
        Check("stack", stack.stack),
        Check("receive", stack.receive),
        Check("queues", stack.queues),
        Check("tables", stack.tables),
    ]
    if not isinstance(subject.compiled, ConfigFaults):
        topology = find_topology(subject.compiled.slices, subject.environ)
        stack_checks.append(Check("concurrency", partial(aws.concurrency, deployed, topology)))
    return stack_checks


def _configuration_checks(subject: checks.Subject, deployed: DeployedStack) -> list[Check]:
    """Return the checks of what the configuration names: secrets, senders, sources, and places outside the stack."""
    platform = AwsPlatform(deployed, subject.environ, subject.where)
    backend = platform.secrets()
    return [
        Check("secrets", partial(checks.secrets_finding, subject, backend, has_ses=True)),
        Check("sender", partial(senders.aws_senders, subject, backend, deployed.api)),
        Check("sources", partial(checks.sources_finding, subject, platform.state, platform.source_access())),
        *buses.bus_checks(subject, buses.buses_on_aws),
        *checks.database_checks(subject, backend),
        *shared_files.sharing_checks(subject, backend),
        *places.place_checks(subject, partial(places.aws_places, deployed.api)),
    ]


KIND: Final = PlatformKind(open_aws, aws_checks)
