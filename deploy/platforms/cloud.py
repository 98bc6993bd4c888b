"""A deployment in a cloud: what is the same on each of them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from deploy.history.logs import CloudLog, LogQuery, Record, cloud_records
from deploy.history.state import State, SubscriberStores
from deploy.platforms.platform import Running, Traits
from deploy.secrets.backend import BackendError, SecretBackend
from deploy.terminal.command_line import CommandError
from shared.ledger import Ledger

CLOUD: Final = Traits(is_local=False, sweep_seconds=120.0, smoke_seconds=120.0, poll_seconds=1.0)
"""A function may take seconds to start, and a log line some more until it can be read."""


class Deployment(Protocol):
    """A deployment whose functions have URLs. Each method raises CommandError."""

    def receive_url(self) -> str: ...

    def function_url(self, function: str) -> str: ...


Deployed = TypeVar("Deployed", bound=Deployment)


@dataclass(frozen=True, slots=True)
class CloudPlatform(ABC, Generic[Deployed]):
    """The part of Platform that all clouds share. `where` is the options of the deployment, for suggested commands."""

    deployment: Deployed
    environ: Mapping[str, str]
    where: str

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that the inspector's page shows."""

    @property
    @abstractmethod
    def traits(self) -> Traits: ...

    @abstractmethod
    def state(self) -> AbstractContextManager[State]: ...

    @abstractmethod
    def secrets(self) -> SecretBackend: ...

    @abstractmethod
    def log(self, query: LogQuery) -> CloudLog: ...

    @abstractmethod
    def running(self, now: float) -> Running: ...

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

    def secret_value(self, name: str) -> str:
        try:
            stored = self.secrets().find([name]).get(name)
        except BackendError as fault:
            raise CommandError(str(fault)) from fault
        if stored is None or not stored.values:
            why = stored.trouble if stored and stored.trouble else "does not exist"
            raise CommandError(f"secret {name!r} {why}: hookchain secrets set {name}{self.where}")
        return stored.values[0]

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

    async def serve_inspector(self, port: int, stopped: asyncio.Event, announce: Callable[[str], None]) -> None:
        from deploy.dev.inspector.cloud_app import serve_cloud  # imports a web server

        with self.state() as state:
            await serve_cloud(state, self.name, port, stopped, lambda: announce(self.name))
