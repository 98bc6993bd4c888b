"""A ledger and a journal over moto's DynamoDB, behind a front that counts calls and loses answers."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront, dynamo_front
from tests.fakes.blobs import FakeBlobs


@pytest.fixture
def front(dynamo: DynamoTables) -> Iterator[DynamoFront]:
    with dynamo_front(dynamo.place) as front:
        yield front
    assert front.faults == []


@pytest.fixture
async def ledger(front: DynamoFront, dynamo: DynamoTables) -> AsyncIterator[DynamoLedger]:
    made = DynamoLedger(front.place, dynamo.prefix)
    yield made
    made.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture
async def journal(front: DynamoFront, dynamo: DynamoTables) -> AsyncIterator[DynamoJournal]:
    made = DynamoJournal(front.place, dynamo.prefix, FakeBlobs(), Retention())
    yield made
    made.close()
    await asyncio.sleep(0)
