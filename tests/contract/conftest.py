"""The ports on Google Cloud, over stand-ins: Firestore with documents in memory and in npm's emulator."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.pubsub import no_authorization
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
