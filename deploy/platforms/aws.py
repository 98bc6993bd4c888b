"""A stack on AWS, read and changed with the credentials that boto3 finds."""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.amazon.api import AwsApi, configured_region
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import find_target
from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.history.aws_log import CloudWatchLog
from deploy.history.aws_status import read_backlogs, read_versions
from deploy.history.cloud_log import LogQuery, cloud_records
from deploy.history.log_records import Record
from deploy.history.state import State, SubscriberStores
from deploy.platforms.platform import (
    CLOUD,
    PlatformKind,
    Running,
    Traits,
    newest_value,
    open_ledger,
    open_subscriber_stores,
)
from deploy.terminal.finding import Check
from shared.ledger import Ledger

if TYPE_CHECKING:
    from deploy.doctor.checks import Subject
    from deploy.topology.estimate import CostModel


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

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        return open_subscriber_stores(self.state())

    def caught_mails(self) -> AbstractContextManager[None]:
        return nullcontext()

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

    def subscribe_url(self) -> str:
        return self.deployed.function_url("subscribe")

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


def doctor_checks(subject: "Subject") -> list[Check]:
    from deploy.platforms.aws_doctor import aws_checks  # slow to import, and seldom needed

    return aws_checks(subject)


def costs() -> "CostModel":
    from deploy.aws.costs import COSTS  # slow to import, as above

    return COSTS


KIND: Final = PlatformKind(open_aws, doctor_checks, costs)
