"""A deployment on Google Cloud, read and changed with gcloud's sign-in."""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.google.cloud import CloudDeployment, cloud_deployment, target_of
from deploy.history.cloud_log import LogQuery, cloud_records
from deploy.history.gcp import open_gcp_state
from deploy.history.gcp_log import GoogleLog
from deploy.history.gcp_status import read_backlogs, read_versions
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
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Check
from shared.ledger import Ledger

if TYPE_CHECKING:
    from deploy.doctor.checks import Subject
    from deploy.topology.estimate import CostModel


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

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        return open_subscriber_stores(self.state())

    def caught_mails(self) -> AbstractContextManager[None]:
        return nullcontext()

    def secrets(self) -> SecretBackend:
        from deploy.gcp.secret_manager_backend import SecretManagerBackend  # imports the plan of a deployment

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

    def subscribe_url(self) -> str:
        return self.cloud.function_url("subscribe")

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


def doctor_checks(subject: "Subject") -> list[Check]:
    from deploy.platforms.gcp_doctor import gcp_checks  # slow to import, and seldom needed

    return gcp_checks(subject)


def costs() -> "CostModel":
    from deploy.gcp.usage import COSTS  # slow to import, as above

    return COSTS


KIND: Final = PlatformKind(open_google, doctor_checks, costs)
