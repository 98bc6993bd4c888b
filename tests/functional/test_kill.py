"""Kill tests: whatever dies, whenever, nothing accepted is lost: of the pipe, a database, and a throttled function."""

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
from tests.kill.kill import DESTINATIONS, ENDPOINTS, HANGING, TROUBLES, Storm, kill_test
from tests.kill.sql_kill import SqlStorm, sql_kill_test
from tests.kill.throttling import DYNAMODB, FIRESTORE, Throttle, deliver_all, throttle
from tests.running.processes import ROOT
from tests.running.sql_server import sql_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_what_was_accepted_arrives_once_everywhere_though_parts_are_killed_and_a_destination_and_an_api_hang(
    tmp_path: Path,
) -> None:
    storm = Storm(200, 15.0, seed=5, kills=5, hurries=True, destinations=tuple(DESTINATIONS), hangs=True)
    outcome = kill_test(tmp_path, storm)
    print(outcome)
    assert sum(outcome.disturbed.values()) == 5
    assert outcome.verdicts.keys() == {"mail", "webhook", "chat", *ENDPOINTS, *HANGING}
    assert outcome.is_good, outcome


def test_what_was_accepted_arrives_once_though_network_processes_disk_and_clock_fail(tmp_path: Path) -> None:
    outcome = kill_test(tmp_path, Storm(500, 18.0, 3, kills=4, troubles=TROUBLES, seconds=2.2, hurries=True))
    print(outcome)
    assert {name.split()[0] for name in outcome.disturbed} == {"kill", "partition", "pause", "disk", "clock"}
    assert outcome.is_good, outcome


def test_what_serve_accepted_arrives_once_though_processes_network_disk_and_clock_fail(tmp_path: Path) -> None:
    storm = Storm(300, 18.0, 7, kills=4, troubles=TROUBLES, seconds=2.0, hurries=True, serves=True, upgraded_from=ROOT)
    outcome = kill_test(tmp_path, storm)
    print(outcome)
    assert {name.split()[0] for name in outcome.disturbed} == {"kill", "partition", "pause", "disk", "clock", "upgrade"}
    assert outcome.is_good, outcome


def test_the_kill_test_fails_where_nothing_prevents_duplicates(tmp_path: Path) -> None:
    outcome = kill_test(tmp_path, Storm(400, 100.0, 3, kills=4, hurries=True, removed="deduplication"))
    print(outcome)
    assert not outcome.verdicts["mail"].lost
    assert len(outcome.verdicts["mail"].unexplained) > 10


# A database


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "events"), [("postgresql", 300), ("mariadb", 300)])
def test_each_event_becomes_one_row_though_notify_is_killed(kind: str, events: int, tmp_path: Path) -> None:
    with sql_server(kind, tmp_path) as server:

        def read() -> list[int]:
            if not server.run("SELECT 1 FROM information_schema.tables WHERE table_name = 'arrivals'"):
                return []
            return [int(str(number)) for (number,) in server.run("SELECT number FROM arrivals")]

        outcome = sql_kill_test(tmp_path, server.url, SqlStorm(events, rate=60.0, kills=3), read)
    print(outcome)
    assert outcome.kills == 3
    assert outcome.found == outcome.accepted == list(range(events)), outcome


# A function without CPU between requests

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
