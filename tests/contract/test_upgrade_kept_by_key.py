"""Owners and records that a version before 2026-11-30 left are opened by today's code."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.kept_by_key import ClosableDocuments, DocumentOwners, DocumentRecords, DocumentStore
from shared.cloud.local.documents import LocalDocuments
from shared.store_ports import Kept
from tests.aws.dynamo import DynamoTables, put_item
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served

STATE: Final = Path(__file__).parent.parent / "upgrade" / "states" / "6b2c29c9_kept_by_key.json"
NOW: Final = 1_790_000_000.0
DAY_SECONDS: Final = 86_400.0
STORES: Final[tuple[DocumentStore, ...]] = ("owners", "records", "grants")
Stores: TypeAlias = Mapping[DocumentStore, ClosableDocuments]


@pytest.fixture(params=["local", "firestore", "dynamo"])
async def kept_by_key(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    state = json.loads(STATE.read_text(encoding="utf-8"))[request.param]
    with ExitStack() as stack:
        open_store: Callable[[DocumentStore], ClosableDocuments]
        if request.param == "local":
            for file, statements in state.items():
                with closing(sqlite3.connect(tmp_path / file)) as database:
                    database.executescript("\n".join(statements))
            open_store = lambda name: LocalDocuments(tmp_path / f"{name}.db", name, now=lambda: NOW)  # noqa: E731
        elif request.param == "firestore":
            store = MemoryStore()
            store.documents = state
            server = FirestoreServer(store)
            emulated = EmulatedFirestore(server, stack.enter_context(served(server.app())), "released")
            open_store = lambda name: FirestoreDocuments(emulated.connect(), name)  # noqa: E731
        else:
            tables: DynamoTables = request.getfixturevalue("npm_dynamo")
            for table, items in state.items():
                for item in items:
                    put_item(tables.place, f"{tables.prefix}{table}", item)
            open_store = lambda name: DynamoDocuments(tables.place, tables.prefix, name)  # noqa: E731
        stores = {name: open_store(name) for name in STORES}
        yield stores
        for each in stores.values():
            each.close()
        await asyncio.sleep(0)  # in which their connections are gone


async def test_an_earlier_owner_stays_the_owner_until_its_window_is_over(
    kept_by_key: Stores,
) -> None:
    owners = DocumentOwners(kept_by_key["owners"])
    for key in ("order 7", "a/b", "é"):
        assert await owners.owner(key, "e2", NOW + 1, DAY_SECONDS) == "e1"
    assert await owners.owner("order 8", "e2", NOW, DAY_SECONDS) == "e2"
    assert await owners.owner("order 8", "e3", NOW + 1, DAY_SECONDS) == "e2"


async def test_an_earlier_record_is_read_and_changed(kept_by_key: Stores) -> None:
    records = DocumentRecords(kept_by_key["records"])
    for name in ("group:a", "seen:é"):
        assert await records.change(name, NOW, lambda text: (text, Kept("new", NOW + 60))) == f"text of {name}"
        assert await records.read(name) == "new"
    await DocumentRecords(kept_by_key["grants"]).change("group:a", NOW, lambda _: (None, Kept("[2]", NOW)))
    assert await records.read("group:a") == "new"
