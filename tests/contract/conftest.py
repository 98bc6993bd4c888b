"""Who is held to a contract, where several suites are: the fake, what runs on this machine, what runs on Google Cloud,
over Firestore with documents in memory and in npm's emulator, and what runs on AWS, over moto's DynamoDB."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.ledger import Ledger
from shared.retention import Retention
from shared.store_ports import Documents, Records
from tests.aws.dynalite import dynalite
from tests.aws.dynamo import DynamoTables
from tests.contract.kept_journal import Kept, cloud_journal, dynamo_journal, local_journal
from tests.contract.platforms import PLATFORMS, Implementations
from tests.contract.written_documents import NOW
from tests.fakes.documents import FakeDocuments
from tests.fakes.ledger import FakeLedger
from tests.fakes.records import FakeRecords
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_npm import npm_store
from tests.gcp.firestore_server import FirestoreServer, Store
from tests.gcp.serving import served
from tests.gcp.storage_server import BUCKET, StorageServer

DATABASES: Final = {"bodies_apart": "firestore", "dynamo_bodies_apart": "npm_dynamo"}
"""The databases of the journals that keep bodies apart."""


@pytest.fixture(autouse=True)
def _quick_back_off(quick_back_off: None) -> None: ...


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
        pytest.param("npm_firestore", marks=pytest.mark.slow),
        "bodies_apart",
        pytest.param("dynamo", marks=pytest.mark.slow),
        "npm_dynamo",
        pytest.param("dynamo_bodies_apart", marks=pytest.mark.slow),
    ]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "local":
        yield from local_journal(tmp_path)
        return
    is_apart = "bodies_apart" in request.param
    retention = Retention(bodies_seconds=86_400.0) if is_apart else Retention()
    database = request.getfixturevalue(DATABASES.get(request.param, request.param))
    if "dynamo" in request.param:
        yield from dynamo_journal(database, retention)
    else:
        yield from cloud_journal(database, request.getfixturevalue("storage")[1], retention)


@pytest.fixture
def storage() -> Iterator[tuple[StorageServer, str]]:
    server = StorageServer(BUCKET)
    with served(server.app()) as host:
        yield server, f"http://{host}"
    assert server.problems == []


@pytest.fixture(params=PLATFORMS)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    implementations = Implementations[Ledger](
        FakeLedger,
        lambda: LocalLedger(tmp_path / "state" / "ledger.db"),
        lambda emulated: FirestoreLedger(emulated.connect()),
        lambda tables: DynamoLedger(tables.place, tables.prefix),
    )
    async for made in implementations.of(request):
        yield made


@pytest.fixture(params=PLATFORMS)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    implementations = Implementations[Records](
        FakeRecords,
        lambda: DocumentRecords(LocalDocuments(tmp_path / "state" / "records.db", "records", now=lambda: NOW)),
        lambda emulated: DocumentRecords(FirestoreDocuments(emulated.connect("records_unavailable"), "records")),
        lambda tables: DocumentRecords(DynamoDocuments(tables.place, tables.prefix, "records")),
    )
    async for made in implementations.of(request):
        yield made


@pytest.fixture(params=PLATFORMS)
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    implementations = Implementations[Documents](
        FakeDocuments,
        lambda: LocalDocuments(tmp_path / "state" / "documents.db"),
        lambda emulated: FirestoreDocuments(emulated.connect("documents_unavailable")),
        lambda tables: DynamoDocuments(tables.place, tables.prefix),
    )
    async for made in implementations.of(request):
        yield made
