"""State that released versions left is opened by today's code: nothing is lost, hidden, or sent twice.

tests/upgrade/record.py recorded it, and says what it holds.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from functions.notify.notifier import Acknowledged
from shared.dead_letter_message import dead_letter_from
from shared.delivery import Failed, RetryLater, delivery_from
from shared.event import from_cloudevent, to_cloudevent
from shared.journal import Journal
from shared.jsontext import JsonObject, mapping_at
from shared.ledger import Ledger
from shared.ports import DELIVERIES, BusMessage
from shared.retention import Retention
from tests.aws.dynamo import DynamoTables, put_item
from tests.contract.kept_journal import NOW, Kept, cloud_journal, dynamo_journal, local_journal
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, a_delivery
from tests.gcp.firestore_emulated import EmulatedFirestore
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served

STATES: Final = Path(__file__).parent.parent / "upgrade" / "states"
STATUSES: Final = {
    "e1": "delivered",
    "e2": "retry_scheduled",
    "e3": "retry_scheduled",
    "e4": "dead_lettered",
    "e5": "held",
    "e6": "delivering",
    "e7": "no_route",
}


def recorded(name: str) -> JsonObject:
    document: JsonObject = json.loads((STATES / f"{name}.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(params=sorted(path.stem for path in STATES.glob("*-*.json") if "messages" not in path.stem))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    name, state = request.param, recorded(request.param)
    if name.endswith("local"):
        for file, statements in state.items():
            assert isinstance(statements, list)
            with closing(sqlite3.connect(tmp_path / file)) as database:
                database.executescript("\n".join(map(str, statements)))
        yield from local_journal(tmp_path)
    elif name.endswith("firestore"):
        store = MemoryStore()
        store.documents = {name: each for name, each in state.items() if isinstance(each, dict)}
        server, storage = FirestoreServer(store), request.getfixturevalue("storage")
        with served(server.app()) as host:
            yield from cloud_journal(EmulatedFirestore(server, host, "released"), storage[1], Retention())
        assert server.problems == []
    else:
        tables: DynamoTables = request.getfixturevalue("npm_dynamo")
        for table, items in state.items():
            assert isinstance(items, list)
            for item in items:
                put_item(tables.place, f"{tables.prefix}{table}", item)
        yield from dynamo_journal(tables, Retention())


def test_lists_counts_search_and_single_events_are_right(kept: Kept) -> None:
    assert kept.found() == [*reversed(STATUSES)]
    assert {id: kept.status(id) for id in STATUSES} == STATUSES
    for status in set(STATUSES.values()):
        assert kept.found(status=status) == [id for id in reversed(STATUSES) if STATUSES[id] == status]
    counts = kept.view.counts()
    assert counts == {status: [*STATUSES.values()].count(status) for status in counts}
    assert sum(counts.values()) == len(STATUSES)
    assert len(kept.found(source="web")) == len(kept.found(type="signup.created")) == len(STATUSES)
    assert len(kept.found(text="Ada")) == len(STATUSES)
    assert len(kept.found(since=NOW - 3e6)) == len(STATUSES)
    assert kept.view.ids_beginning("events", "e", 10) == [*STATUSES]
    assert kept.view.with_document([*STATUSES]) == {*STATUSES}
    for id in ("e1", "e2", "e3", "e4", "e5"):
        record = kept.view.event(id)
        assert record
        assert record.passes == 1
        assert [each.outcome for each in record.attempts] == [
            {"e1": "delivered", "e4": "failed", "e5": "held"}.get(id, record.attempts[0].outcome)
        ]
        assert record.attempts[0].outcome in {"delivered", "failed", "held", "retry_scheduled", "unknown"}


def test_dead_letters_and_reasons_are_in_todays_words(kept: Kept) -> None:
    [letter] = kept.view.dead_letters(10)
    assert (letter.code, letter.reason, letter.event_id) == ("mail_rejected", "no such list", "e4")
    [held] = kept.state.rows(10, "held")
    assert held.reason == "the key was rejected; then run `hookchain resume hall`"
    [dead] = kept.state.rows(10, "dead_lettered")
    assert dead.reason == "mail_rejected: no such list"
    assert len(kept.state.rows(10, "retry_scheduled")) == 2


def test_what_waited_goes_out_once_and_what_was_delivered_does_not(kept: Kept) -> None:
    crm, hall = FakeDestination(), FakeDestination()

    async def work(journal: Journal, ledger: Ledger) -> None:
        made = FakeDestinations({"crm": crm, "hall": hall})
        notifier = FakeNotifier(
            crm,
            destinations=made,
            ledger=ledger,
            journal=journal,  # type: ignore[arg-type] # a real one
            clock=FakeClock(NOW + 3_600.0),
        )
        assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"] * 2
        assert await ledger.release("hall", notifier.clock.now()) == 1
        assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]
        for number in range(1, 7):  # the bus brings each again
            result = await notifier.take(a_delivery(number, "hall" if number == 5 else "crm"))
            assert isinstance(result, Acknowledged)
        replayed = await notifier.take(a_delivery(4), replay="r1", force="failed")
        assert replayed.outcome == "delivered"
        notifier.clock.advance(86_400.0)
        assert await notifier.sweep_and_take() == []

    kept.do(work)
    assert sorted(each.event.id for each in crm.delivered) == ["e2", "e3", "e4", "e6"]
    assert [each.event.id for each in hall.delivered] == ["e5"]
    assert {id: kept.status(id) for id in ("e1", "e2", "e3", "e5", "e6")} == dict.fromkeys(
        ("e1", "e2", "e3", "e5", "e6"), "delivered"
    )


@pytest.mark.parametrize("version", ["3ce00f9f", "6ebda0a5"])
async def test_messages_in_flight_are_read_both_ways(version: str) -> None:
    """Today's code reads what an earlier version published. An earlier version reads the members that it knows, so
    today's messages have these, with the same values."""
    earlier = recorded(f"{version}-messages")
    event, due, letter = (member(earlier, name, "data") for name in ("event", "due", "dead_letter"))
    assert from_cloudevent(event) == EVENT
    assert delivery_from(due) == DELIVERY
    assert (dead_letter_from(letter).event_id, dead_letter_from(letter).destination) == ("e4", "crm")
    notifier = FakeNotifier(FakeDestination(RetryLater("503"), Failed("mail_rejected", "no such list")))
    await notifier.take()
    notifier.clock.advance(3_600.0)
    await notifier.sweep()
    await notifier.take(a_delivery(4))
    today = {
        "event": (to_cloudevent(EVENT), {}),
        "due": sent(notifier.bus.on(DELIVERIES)[0]),
        "dead_letter": sent(notifier.dead_letters[0]),
    }
    for name, (data, attributes) in today.items():
        assert lacking(data, member(earlier, name, "data")) == []
        assert lacking(attributes, member(earlier, name, "attributes")) == []


VARIES: Final = {"at", "code", "due", "id", "message", "time"}
"""Members whose values differ from run to run, or whose words changed."""


def lacking(today: JsonObject, before: JsonObject) -> list[str]:
    """Return the members of the earlier message that today's lacks, or has with another value."""
    found = [name for name in before if name not in today]
    for name, value in before.items():
        now = today.get(name)
        if isinstance(value, dict) and isinstance(now, dict):
            found += lacking(now, value)
        elif name in today and name not in VARIES and now != value:
            found.append(name)
    return found


def member(document: JsonObject, *names: str) -> JsonObject:
    for name in names:
        found = mapping_at(document[name])
        document = found
    return document


def sent(message: BusMessage) -> tuple[JsonObject, JsonObject]:
    return json.loads(message.data), {**message.attributes}
