"""A stack on AWS, read and changed with the credentials that boto3 finds."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from deploy.amazon.api import AwsApi, configured_region
from deploy.amazon.stack import DeployedStack
from deploy.amazon.target import find_target
from deploy.aws.secrets_manager_backend import SecretsManagerBackend
from deploy.history.aws import CloudWatchLog, read_backlogs, read_versions
from deploy.history.logs import LogQuery
from deploy.history.state import State
from deploy.platforms.cloud import CLOUD, CloudPlatform
from deploy.platforms.platform import PlatformKind, Running, Traits
from deploy.terminal.finding import Check

if TYPE_CHECKING:
    from deploy.doctor.checks import Subject
    from deploy.topology.estimate import CostModel


TRAITS: Final = replace(CLOUD, has_ses=True)


class AwsPlatform(CloudPlatform[DeployedStack]):
    @property
    def name(self) -> str:
        return f"{self.deployment.target.stack} in {self.deployment.target.region}"

    @property
    def traits(self) -> Traits:
        return TRAITS

    def state(self) -> AbstractContextManager[State]:
        from deploy.history.aws import open_aws_state  # imports an HTTP client

        return open_aws_state(self.deployment, self.environ)

    def secrets(self) -> SecretsManagerBackend:
        return SecretsManagerBackend(self.deployment.target, self.deployment.api)

    def log(self, query: LogQuery) -> CloudWatchLog:
        return CloudWatchLog(self.deployment.api, self.deployment.target, query)

    def running(self, now: float) -> Running:
        versions = read_versions(self.deployment)
        backlogs, notes = read_backlogs(self.deployment, now)
        return Running(versions, backlogs, notes)


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
