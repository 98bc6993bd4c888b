"""A ledger and a journal over Firestore's documents in memory."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.retention import Retention
from tests.fakes.blobs import FakeBlobs
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore


@pytest.fixture
async def ledger(firestore: EmulatedFirestore) -> AsyncIterator[FirestoreLedger]:
    made = FirestoreLedger(firestore.connect())
    yield made
    made.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture
async def journal(firestore: EmulatedFirestore) -> AsyncIterator[FirestoreJournal]:
    made = FirestoreJournal(firestore.connect("journal_unavailable"), FakeBlobs(), Retention())
    yield made
    made.close()
    await asyncio.sleep(0)


@pytest.fixture
def documents(firestore: EmulatedFirestore) -> MemoryStore:
    store = firestore.server.store
    assert isinstance(store, MemoryStore)
    return store
