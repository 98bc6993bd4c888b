"""A deployment on Google Cloud, read and changed with gcloud's sign-in."""

import argparse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from deploy.google.cloud import CloudDeployment, cloud_deployment, target_of
from deploy.history.gcp import GoogleLog, open_gcp_state, read_backlogs, read_versions
from deploy.history.logs import LogQuery
from deploy.history.state import State
from deploy.platforms.cloud import CLOUD, CloudPlatform
from deploy.platforms.platform import PlatformKind, Running, Traits
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Check

if TYPE_CHECKING:
    from deploy.doctor.checks import Subject
    from deploy.topology.estimate import CostModel


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
        from deploy.gcp.secret_manager_backend import SecretManagerBackend  # imports the plan of a deployment

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


def doctor_checks(subject: "Subject") -> list[Check]:
    from deploy.platforms.gcp_doctor import gcp_checks  # slow to import, and seldom needed

    return gcp_checks(subject)


def costs() -> "CostModel":
    from deploy.gcp.usage import COSTS  # slow to import, as above

    return COSTS


KIND: Final = PlatformKind(open_google, doctor_checks, costs)
