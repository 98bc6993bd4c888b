"""Bursts of throttling in the ledger's database on each cloud: no delivery is sent twice, and none is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.tokens import no_authorization
from tests.aws.dynalite import dynalite
from tests.aws.dynamo import DynamoTables
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.kill.throttling import DYNAMODB, FIRESTORE, Throttle, deliver_all, throttle

DELIVERIES = 60


async def delivered_once(proxy: Throttle, ledger: FirestoreLedger | DynamoLedger) -> None:
    bursts = asyncio.create_task(proxy.bursts(2, seconds=1.5, every_seconds=2.5))
    async with asyncio.timeout(60):
        requests = await deliver_all(ledger, DELIVERIES, 5.0)
    await bursts
    assert proxy.rejected > DELIVERIES / 4
    assert len(requests) == DELIVERIES
    assert set(requests.values()) == {1}
    rows = await ledger.rows(DELIVERIES)
    assert {(row.state, row.crashes) for row in rows} == {("delivered", 0)}
    ledger.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.mark.slow
def test_each_delivery_is_sent_once_though_firestore_throttles_in_bursts() -> None:
    with served(FirestoreServer(MemoryStore()).app()) as host, throttle(f"http://{host}", FIRESTORE) as (proxy, url):
        ledger = FirestoreLedger(Firestore(url, "a-project", "hookchain-throttled", no_authorization))
        asyncio.run(delivered_once(proxy, ledger))


@pytest.mark.slow
def test_each_delivery_is_sent_once_though_dynamodb_throttles_in_bursts(node_package: Callable[[str], Path]) -> None:
    with dynalite(node_package("dynalite")) as place, throttle(str(place.endpoint), DYNAMODB) as (proxy, url):
        tables = DynamoTables.create(place)
        asyncio.run(delivered_once(proxy, DynamoLedger(place._replace(endpoint=url), tables.prefix)))
