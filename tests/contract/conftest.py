"""Who is held to a contract, where several suites are: the fake, what runs on this machine, what runs on Google Cloud,
over Firestore with documents in memory and in npm's emulator, and what runs on AWS, over moto's DynamoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.records import DynamoRecords
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.records import FirestoreRecords
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.local.records import LocalRecords
from shared.ledger import Ledger
from shared.ports import Documents, Records
from shared.retention import Retention
from tests.aws.dynalite import dynalite
from tests.aws.dynamo import DynamoTables
from tests.contract.kept_journal import Kept, cloud_journal, dynamo_journal, local_journal
from tests.fakes.documents import FakeDocuments
from tests.fakes.ledger import FakeLedger
from tests.fakes.records import FakeRecords
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_npm import npm_store
from tests.gcp.firestore_server import FirestoreServer, Store
from tests.gcp.serving import served
from tests.gcp.storage_server import BUCKET, StorageServer


@pytest.fixture(scope="session")
def _npm_store(node_package: Callable[[str], Path]) -> Iterator[Store]:
    with npm_store(node_package("@firestore-emulator/server")) as store:
        yield store


@pytest.fixture(scope="session")
def _dynalite(node_package: Callable[[str], Path]) -> Iterator[AwsPlace]:
    with dynalite(node_package("dynalite")) as place:
        yield place


@pytest.fixture
def npm_dynamo(_dynalite: AwsPlace) -> DynamoTables:
    return DynamoTables.create(_dynalite)


@pytest.fixture
def dynamo(aws: AwsPlace) -> DynamoTables:
    return DynamoTables.create(aws)


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


@pytest.fixture(
    params=[
        "local",
        "firestore",
        "npm_firestore",
        "bodies_apart",
        pytest.param("dynamo", marks=pytest.mark.slow),
        "npm_dynamo",
        "dynamo_bodies_apart",
    ]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path, storage: tuple[StorageServer, str]) -> Iterator[Kept]:
    if request.param == "local":
        yield from local_journal(tmp_path)
    elif "dynamo" in request.param:
        retention = Retention(bodies_seconds=86_400.0) if request.param == "dynamo_bodies_apart" else Retention()
        yield from dynamo_journal(request.getfixturevalue(request.param.removesuffix("_bodies_apart")), retention)
    elif request.param == "bodies_apart":
        yield from cloud_journal(request.getfixturevalue("firestore"), storage[1], Retention(bodies_seconds=86_400.0))
    else:
        yield from cloud_journal(request.getfixturevalue(request.param), storage[1], Retention())


@pytest.fixture
def storage() -> Iterator[tuple[StorageServer, str]]:
    server = StorageServer(BUCKET)
    with served(server.app()) as host:
        yield server, f"http://{host}"
    assert server.problems == []


@pytest.fixture(
    params=["fake", "local", "firestore", "npm_firestore", pytest.param("dynamo", marks=pytest.mark.slow), "npm_dynamo"]
)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
    elif request.param == "local":
        local = LocalLedger(tmp_path / "state" / "ledger.db")
        yield local
        await local.close()
    elif request.param in {"dynamo", "npm_dynamo"}:
        tables: DynamoTables = request.getfixturevalue(request.param)
        on_dynamo = DynamoLedger(tables.place, tables.prefix)
        yield on_dynamo
        on_dynamo.close()
        await asyncio.sleep(0)
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreLedger(emulated.connect())
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture(
    params=["fake", "local", "firestore", "npm_firestore", pytest.param("dynamo", marks=pytest.mark.slow), "npm_dynamo"]
)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    if request.param == "fake":
        yield FakeRecords()
    elif request.param == "local":
        local = LocalRecords(tmp_path / "state" / "records.db")
        yield local
        local.close()
    elif request.param in {"dynamo", "npm_dynamo"}:
        tables: DynamoTables = request.getfixturevalue(request.param)
        on_dynamo = DynamoRecords(tables.place, tables.prefix)
        yield on_dynamo
        on_dynamo.close()
        await asyncio.sleep(0)
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreRecords(emulated.connect("records_unavailable"))
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture(
    params=["fake", "local", "firestore", "npm_firestore", pytest.param("dynamo", marks=pytest.mark.slow), "npm_dynamo"]
)
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    if request.param == "fake":
        yield FakeDocuments()
    elif request.param == "local":
        local = LocalDocuments(tmp_path / "state" / "documents.db")
        yield local
        local.close()
    elif request.param in {"dynamo", "npm_dynamo"}:
        tables: DynamoTables = request.getfixturevalue(request.param)
        on_dynamo = DynamoDocuments(tables.place, tables.prefix)
        yield on_dynamo
        on_dynamo.close()
        await asyncio.sleep(0)
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreDocuments(emulated.connect("documents_unavailable"))
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone
