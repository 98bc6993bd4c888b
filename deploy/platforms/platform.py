"""The deployment that a command acts on: `hookchain dev` or `serve` on this machine, or one in a cloud.

Commands know a Platform only. `local.py` implements it with the state folder of this machine; `gcp.py` and `aws.py`
complete CloudPlatform, which is the part that the clouds share.
"""

import argparse
import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from deploy.config import checkout, config_file, configured
from deploy.history import forget, status
from deploy.history.logs import CloudLog, LogQuery, Record, cloud_records
from deploy.history.ports import TapPorts
from deploy.history.source_access import REJECTIONS, SourceAccess, read_outside
from deploy.history.source_health import MAX_REJECTED, Outside
from deploy.history.state import State, SubscriberStores
from deploy.requests.send_options import read_secret
from deploy.secrets.backend import SecretBackend
from deploy.terminal.command_line import CommandError
from deploy.terminal.finding import Check
from deploy.topology.monitoring import MetricCount, MetricWindow
from shared.cloud import platform as cloud_platform
from shared.ledger import Ledger
from shared.secrets import CACHE_SECONDS, RETRY_SECONDS
from shared.store_ports import Documents

if TYPE_CHECKING:
    from deploy.doctor.checks import Subject


@dataclass(frozen=True, slots=True)
class Traits:
    """The differences between this machine and a cloud that commands depend on.

    is_local       this machine, where a start generates missing secrets
    sweep_seconds  the longest time that a due delivery waits for the sweep and the bus
    smoke_seconds  the time for which the smoke test follows its event
    poll_seconds   the time between two polls of the smoke test
    has_ses        SES sends the mails for which no other mail service is configured
    """

    is_local: bool
    sweep_seconds: float
    smoke_seconds: float
    poll_seconds: float
    has_ses: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """The running version of each function, and the messages that wait in each queue.

    notes  the parts that could not be read, with the reasons
    """

    versions: Sequence[status.Version]
    backlogs: Sequence[status.Backlog]
    notes: Sequence[str] = ()


class Platform(Protocol):
    """One deployment. Each method raises CommandError or another fault that run_command reports."""

    @property
    def traits(self) -> Traits: ...

    def sends_mail(self) -> bool:
        """Return whether mail is sent to people. Otherwise the page shows it in its mailbox."""

    def state(self) -> AbstractContextManager[State]:
        """Open what is stored: events, deliveries, dead letters, and the bus."""

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        """Open the states of the deliveries, without the rest of `state`."""

    def tap(self) -> TapPorts:
        """Return the ports through which developers get copies of events. Raises CommandError on this machine."""

    def subscriber_stores(self) -> AbstractAsyncContextManager[SubscriberStores]:
        """Open what belongs to the operator's own users: tenants, endpoints and their messages."""

    def caught_mails(self) -> AbstractContextManager[forget.CaughtMails | None]:
        """Open the mails that an emulated mail service caught; None if none is emulated."""

    def secrets(self) -> SecretBackend:
        """Return the place where secrets are stored: a file here, or the cloud's own service."""

    def seconds_until_read(self, stored_at: float, now: float) -> float:
        """Return for how long an instance may lack values that were stored at `stored_at`; 0 or less if none does.

        Both times are in Unix seconds. Raises CommandError if the instances do not read the values by themselves.
        """

    def secret_value(self, name: str) -> str:
        """Return the newest value of the secret."""

    def source_access(self) -> SourceAccess:
        """Return the ways to the facts about sources that the journal does not have."""

    def secret_command(self) -> Callable[[str], str] | None:
        """Return a function of a secret's name that returns a command to print it; None if secrets are variables."""

    def records(self, query: LogQuery, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:
        """Yield the newest `limit` records since then, oldest first.

        A log that is followed then yields None, and new records without end.
        """

    def running(self, now: float) -> Running:
        """Ask the deployment what runs, and what waits."""

    def subscribe_url(self) -> str:
        """Return the URL of the function that has the API and the portal for subscribers."""

    def receive_url(self) -> str:
        """Return the URL of receive. With a slash and a source's name, it is the URL of that source."""

    def serving_url(self) -> str:
        """Return the URL of receive. Raises CommandError if no process serves it."""

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str, str], None]) -> None:
        """Serve the page until `stopped`. Once it is served, `announce` gets its URL and a name for what it shows."""


@dataclass(frozen=True, slots=True)
class PlatformKind:
    """A kind of platform.

    open           returns the deployment that the options and the environment name. Its third argument is the options
                   as text, for suggested commands
    doctor_checks  returns the checks of `hookchain doctor`, also if no deployment is named
    """

    open: Callable[[argparse.Namespace, Mapping[str, str], str], Platform]
    doctor_checks: "Callable[[Subject], list[Check]]"


INSTANCE_SECONDS: Final = CACHE_SECONDS + 2 * RETRY_SECONDS
"""How long an instance may use the former values of a secret, also if the store does not answer it once."""
CLOUD: Final = Traits(is_local=False, sweep_seconds=120.0, smoke_seconds=120.0, poll_seconds=1.0)
"""The times are long because a function may take seconds to start, and a log line some more until it can be read."""


class Deployment(Protocol):
    """A deployment whose functions have URLs. Each method raises CommandError."""

    def receive_url(self) -> str: ...

    def function_url(self, function: str) -> str: ...


Deployed = TypeVar("Deployed", bound=Deployment)


@dataclass(frozen=True, slots=True)
class CloudPlatform(Platform, ABC, Generic[Deployed]):
    """The part of Platform that all clouds share.

    deployment  knows the URLs of the functions
    environ     the environment of the command
    where       the options that name the deployment, as text, for suggested commands
    """

    deployment: Deployed
    environ: Mapping[str, str]
    where: str

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that the inspector's page shows."""

    @abstractmethod
    def log(self, query: LogQuery) -> CloudLog:
        """Return the cloud's log of the functions."""

    @abstractmethod
    def counts(self, window: MetricWindow) -> Sequence[MetricCount]:
        """Return the counts that the cloud's metrics have. Raises CommandError."""

    def sends_mail(self) -> bool:
        return True

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        with self.state() as state:
            async with state.ledger() as ledger:
                yield ledger

    @asynccontextmanager
    async def subscriber_stores(self) -> AsyncIterator[SubscriberStores]:
        with self.state() as state:
            async with state.subscriber_stores() as stores:
                yield stores

    def caught_mails(self) -> AbstractContextManager[None]:
        return nullcontext()

    def seconds_until_read(self, stored_at: float, now: float) -> float:
        return stored_at + INSTANCE_SECONDS - now

    def secret_value(self, name: str) -> str:
        stored = self.secrets().find([name]).get(name)
        if stored is None or not stored.values:
            why = stored.trouble if stored and stored.trouble else "does not exist"
            raise CommandError(f"secret {name!r} {why}: hookchain secrets set {name}{self.where}")
        return stored.values[0]

    def source_access(self) -> SourceAccess:
        return SourceAccess(
            documents=self._documents,
            secrets=self.secrets,
            token=self._token,
            receive_url=self.receive_url,
            rejected=lambda since: self.records(REJECTIONS, since, MAX_REJECTED, is_followed=False),
        )

    @asynccontextmanager
    async def _documents(self) -> AsyncIterator[Documents | None]:
        with self.state() as state:
            async with state.documents() as documents:
                yield documents

    def _token(self, name: str) -> str:
        """Return the token from its variable or file on this machine, else from the deployment."""
        try:
            return read_secret(name, self.environ)
        except ValueError:
            return self.secret_value(name)

    def secret_command(self) -> Callable[[str], str]:
        return self.secrets().how_to_read

    def records(self, query: LogQuery, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:
        return cloud_records(self.log(query), since, limit, is_followed)

    def subscribe_url(self) -> str:
        return self.deployment.function_url("subscribe")

    def receive_url(self) -> str:
        return self.deployment.receive_url()

    def serving_url(self) -> str:
        return self.deployment.receive_url()

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str, str], None]) -> None:
        # Imported here, because they import a web server, which other commands do not need.
        from deploy.dev.inspector.cloud_app import serve_cloud
        from deploy.dev.inspector.sources_api import OutsideFacts

        outside = OutsideFacts(self._read_outside, self.where)
        with self.state() as state:
            await serve_cloud(
                state, self.name, port, stopped, lambda url: announce(url, self.name), outside, self.counts
            )

    async def _read_outside(self) -> Outside:
        try:
            path = checkout.config_to_deploy(None, self.environ)
            configuration = await asyncio.to_thread(configured.configured_at, path, self.environ)
        except config_file.ConfigFaults:
            return Outside()
        return await read_outside(configuration, self.source_access(), cloud_platform.fetch(keeps=False), time.time())
