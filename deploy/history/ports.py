"""The ports by which a command reaches the stores of one deployment, and how they are closed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from deploy.cloud_access.inboxes import Inboxes
from deploy.history import journal_view
from shared import store_ports
from shared.ledger import Ledger
from shared.ports import Blobs, Bus


class StoredBlobs(Blobs, Protocol):
    async def names(self, beginning: str) -> Sequence[str]:
        """Return the names that begin with `beginning`, except names of which the store has only a hash."""


class Port(Protocol):
    """A port of a cloud. Some ports close at once, and some return an awaitable that closes them."""

    def close(self) -> Awaitable[None] | None: ...


AnyPort = TypeVar("AnyPort", bound=Port)


@asynccontextmanager
async def closing_port(port: AnyPort) -> AsyncIterator[AnyPort]:
    """Yield the port and close it at the end."""
    try:
        yield port
    finally:
        await close_ports([port])


async def close_ports(ports: Sequence[Port]) -> None:
    for port in ports:
        if (closed := port.close()) is not None:
            await closed
    await asyncio.sleep(0)  # lets their connections close


class CloudLedger(Ledger, Port, Protocol): ...


class CloudBlobs(StoredBlobs, Port, Protocol): ...


class CloudBus(Bus, Port, Protocol): ...


class CloudRecords(store_ports.Records, Port, Protocol): ...


class CloudDocuments(store_ports.Documents, Port, Protocol): ...


class CloudPorts(Protocol):
    """The ports of one deployment. Each call makes a port of its own."""

    def journal(self) -> journal_view.JournalView: ...

    def make_ledger(self) -> CloudLedger: ...

    def make_blobs(self) -> CloudBlobs: ...

    def make_bus(self) -> CloudBus: ...

    def make_records(self) -> CloudRecords: ...

    def make_documents(self) -> CloudDocuments: ...


class TapPorts(Protocol):
    """The ports of the tap of one deployment. Each call makes a port of its own."""

    def make_leases(self) -> CloudDocuments: ...

    def make_blobs(self) -> CloudBlobs: ...

    def make_inboxes(self, project: str | None = None) -> Inboxes:
        """Return the inboxes. On Google Cloud, `project` has their subscriptions [that of the deployment]."""
