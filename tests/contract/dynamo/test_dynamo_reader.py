"""What a reader of the journal finds in DynamoDB, and how much it reads for it."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from deploy.cloud_access.aws import AwsApi, DeployedStack
from deploy.cloud_access.aws_names import StackTarget
from deploy.history.aws import open_aws_state
from deploy.history.dynamo_journal import DynamoJournalReader
from deploy.history.journal_view import EventQuery
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import Dynamo, from_item
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.tables import BODIES, DEAD_LETTERS, EVENTS
from shared.journal import EventEntry
from shared.jsontext import JsonObject
from shared.ledger import Claimed
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables
from tests.aws.dynamo_front import DynamoFront
from tests.contract.claims import DELIVERY, EVENT, LEASE, MESSAGE, T
from tests.contract.dynamo.rows import a_letter


@pytest.fixture
def reader(front: DynamoFront, dynamo: DynamoTables) -> Iterator[DynamoJournalReader]:
    store = Dynamo(front.place, dynamo.prefix, "journal_unavailable")
    with closing(DynamoJournalReader(store, None, lambda: T + 60)) as reader:
        yield reader


async def test_what_expired_and_is_still_there_is_shown_nowhere(
    front: DynamoFront, dynamo: DynamoTables, reader: DynamoJournalReader
) -> None:
    journal = DynamoJournal(front.place, dynamo.prefix, None, Retention(60, 30, 60))
    await journal.record([EventEntry(EVENT, (), T), a_letter("d1")])
    journal.close()
    assert [len(dynamo.items(table)) for table in (EVENTS, BODIES, DEAD_LETTERS)] == [1, 1, 1]
    assert reader.events(EventQuery()).events == ()
    assert reader.event("e1") is None
    assert reader.with_document(["e1"]) == frozenset()
    assert reader.stored_document("e1") is None
    assert reader.dead_letters(9, state=None) == ()
    assert reader.dead_letter("d1") is None


async def test_events_of_one_source_are_found_without_reading_those_of_others(
    journal: DynamoJournal, front: DynamoFront, reader: DynamoJournalReader
) -> None:
    for number in range(40):
        source = "/sources/shop" if number in (3, 33) else "/sources/web"
        await journal.record([EventEntry(replace(EVENT, id=f"e{number}", source=source), (), T)])
    front.requests.clear()
    page = reader.events(EventQuery(source="shop"))
    assert sorted(event.id for event in page.events) == ["e3", "e33"]
    keys = [key for request in front.requests for key in keys_read(request, EVENTS.name)]
    assert sorted(keys) == ["e3", "e33"]


def keys_read(request: JsonObject, table: str) -> list[str]:
    """Return the keys that a BatchGetItem asks a table for."""
    found: list[str] = []
    items = request.get("RequestItems")
    for name, wanted in items.items() if isinstance(items, dict) else ():
        if name.endswith(f"-{table}") and isinstance(wanted, dict) and isinstance(keys := wanted["Keys"], list):
            found += [str(from_item(key)[tables.KEY]) for key in keys]
    return found


async def test_the_state_of_a_stack_is_opened_over_its_tables(
    dynamo: DynamoTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dynamo.place.credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
    target = StackTarget(dynamo.prefix.rstrip("-"), dynamo.place.region, dynamo.prefix)
    stack = DeployedStack(target, AwsApi(target.region, {"AWS_ENDPOINT_URL": str(dynamo.place.endpoint)}))
    ledger = DynamoLedger(dynamo.place, dynamo.prefix)
    assert isinstance(await ledger.claim(DELIVERY, MESSAGE, T, LEASE), Claimed)
    ledger.close()
    await asyncio.sleep(0)

    def read() -> tuple[str, ...]:
        with open_aws_state(stack, {}) as state:
            assert state.reader.counts() == {}
            return tuple(row.state for row in state.deliveries("e1"))

    assert await asyncio.to_thread(read) == ("attempted",)
