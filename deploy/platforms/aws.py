"""A stack on AWS, read and changed with the credentials that boto3 finds."""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from deploy.amazon.api import AwsApi, configured_region
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import StackTarget, find_target
from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.config.faults import ConfigFaults
from deploy.doctor import aws, machine, ses
from deploy.doctor.checks import Subject, configuration_finding, secrets_finding, sender_finding, stored_key
from deploy.history.aws_log import CloudWatchLog
from deploy.history.aws_status import read_backlogs, read_versions
from deploy.history.cloud_log import LogQuery, cloud_records
from deploy.history.log_records import Record
from deploy.history.state import State
from deploy.platforms.platform import CLOUD, PlatformKind, Running, Traits, newest_value, open_ledger
from deploy.secrets.needs import mail_transports
from deploy.terminal.command_error import CommandError
from deploy.terminal.finding import Check, Finding, problem
from shared.ledger import Ledger
from shared.settings import read_settings

TRAITS: Final = Traits(CLOUD.is_local, CLOUD.sweep_time, CLOUD.smoke_seconds, CLOUD.poll_seconds, has_ses=True)


@dataclass(frozen=True, slots=True)
class AwsPlatform:
    """`where` is the options that name the stack, for suggested commands."""

    deployed: DeployedStack
    environ: Mapping[str, str]
    where: str

    @property
    def traits(self) -> Traits:
        return TRAITS

    def sends_mail(self) -> bool:
        return True

    def state(self) -> AbstractContextManager[State]:
        from deploy.history.aws import open_aws_state  # imports an HTTP client

        return open_aws_state(self.deployed, self.environ)

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        return open_ledger(self.state())

    def secrets(self) -> SecretsManagerBackend:
        return SecretsManagerBackend(self.deployed.target, self.deployed.api)

    def secret_value(self, name: str) -> str:
        return newest_value(self.secrets(), name, self.where)

    def secret_command(self) -> Callable[[str], str]:
        return self.secrets().how_to_read

    def records(self, query: LogQuery, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:
        return cloud_records(CloudWatchLog(self.deployed.api, self.deployed.target, query), since, limit, is_followed)

    def running(self, now: float) -> Running:
        versions = read_versions(self.deployed)
        backlogs, notes = read_backlogs(self.deployed, now)
        return Running(versions, backlogs, notes)

    def receive_url(self) -> str:
        return self.deployed.receive_url()

    def serving_url(self) -> str:
        return self.deployed.receive_url()

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str], None]) -> None:
        from deploy.dev.inspector.cloud_app import serve_cloud  # imports a web server

        name = f"{self.deployed.target.stack} in {self.deployed.target.region}"
        with self.state() as state:
            await serve_cloud(state, name, port, stopped, lambda: announce(name))


def open_aws(options: argparse.Namespace, environ: Mapping[str, str], where: str) -> AwsPlatform:
    """Raises CommandError."""
    target = find_target(options, environ, configured_region)
    return AwsPlatform(DeployedStack(target, AwsApi(target.region, environ)), environ, where)


def doctor_checks(subject: Subject) -> list[Check]:
    options = subject.options
    always = [Check("configuration", partial(configuration_finding, subject)), Check("clock", machine.clock)]
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


def _checks(subject: Subject, target: StackTarget) -> list[Check]:
    api = AwsApi(target.region, subject.environ)
    place = SecretsManagerBackend(target, api)
    stack = aws.StackChecks(DeployedStack(target, api))
    return [
        Check("boto3", aws.boto3),
        Check("credentials", partial(aws.credentials, api)),
        Check("region", partial(aws.region, api)),
        Check("stack", stack.stack),
        Check("receive", stack.receive),
        Check("queues", stack.queues),
        Check("tables", stack.tables),
        Check("configuration", partial(configuration_finding, subject)),
        Check("secrets", partial(secrets_finding, subject, place, has_ses=True)),
        Check("sender", partial(_sender, subject, place, api)),
        Check("clock", machine.clock),
    ]


def _sender(subject: Subject, place: SecretsManagerBackend, api: AwsApi) -> Finding:
    """Check the senders at the mail service that notify chooses: SendGrid if it has its key, else SMTP, else SES."""
    key = stored_key(place)
    settings = read_settings(subject.environ)
    if isinstance(subject.compiled, ConfigFaults):
        return sender_finding(subject, lambda: key, False)
    notify = subject.compiled.slices["notify"]
    transports = mail_transports(notify)
    by_ses = [
        name
        for name, via in transports.items()
        if via == "ses" or (via == "auto" and key is None and not settings.smtp_url)
    ]
    if not by_ses:
        return sender_finding(subject, lambda: key, False)
    if len(by_ses) < len(transports):
        other = sender_finding(subject, lambda: key, False)
        if other.verdict == "problem":
            return other
    return ses.ses_senders(api, notify, by_ses, settings.email_from)


KIND: Final = PlatformKind(open_aws, doctor_checks)
