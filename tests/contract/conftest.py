"""Who is held to a contract, where several suites are: the fake, what runs on this machine, and what runs on Google
Cloud, over stand-ins: Firestore with documents in memory and in npm's emulator."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.pubsub import no_authorization
from shared.cloud.local.ledger import LocalLedger
from shared.ledger import Ledger
from tests.fakes.ledger import FakeLedger
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_npm import npm_store
from tests.gcp.firestore_server import FirestoreServer, Store
from tests.gcp.serving import served
from tests.gcp.storage_server import StorageServer

BUCKET: Final = "a-project-hookchain-blobs"
_DATABASES: Final = count(1)


class EmulatedFirestore:
    """A database of its own on a server that all of a session's tests may share."""

    def __init__(self, server: FirestoreServer, host: str) -> None:
        self.server = server
        self._host = host
        self._database = f"hookchain-{next(_DATABASES)}"

    def connect(self, part: str = "ledger") -> Firestore:
        return Firestore(f"http://{self._host}", "a-project", self._database, no_authorization, part)

    def elsewhere(self, port: int) -> Firestore:
        return Firestore(f"http://127.0.0.1:{port}", "a-project", self._database, no_authorization)


@pytest.fixture(scope="session")
def _npm_store(node_package: Callable[[str], Path]) -> Iterator[Store]:
    with npm_store(node_package("@firestore-emulator/server")) as store:
        yield store


@pytest.fixture
def firestore() -> Iterator[EmulatedFirestore]:
    yield from _emulated(MemoryStore())


@pytest.fixture
def npm_firestore(_npm_store: Store) -> Iterator[EmulatedFirestore]:
    yield from _emulated(_npm_store)


def _emulated(store: Store) -> Iterator[EmulatedFirestore]:
    server = FirestoreServer(store)
    with served(server.app()) as host:
        yield EmulatedFirestore(server, host)
    assert server.problems == []


@pytest.fixture
def storage() -> Iterator[tuple[StorageServer, str]]:
    server = StorageServer(BUCKET)
    with served(server.app()) as host:
        yield server, f"http://{host}"
    assert server.problems == []


@pytest.fixture(params=["fake", "local", "firestore", "npm_firestore"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
    elif request.param == "local":
        local = LocalLedger(tmp_path / "state" / "ledger.db")
        yield local
        await local.close()
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreLedger(emulated.connect())
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone
