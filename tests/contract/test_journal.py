"""The journal on every platform: what it keeps, and what the operator's commands and the page read of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from deploy.history.journal_view import DROPPED, REPLAYED, UNFINISHED, UNFINISHED_STATUSES, EventQuery
from deploy.history.local_journal import JournalReader
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.local.journal import LocalJournal
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.errors import Temporary
from shared.event import Event, to_cloudevent
from shared.journal import KEPT, MAX_KEPT_SPANS, AttemptEntry, DeadLetter, EventEntry, Journal, RouteDecision
from shared.jsontext import JsonObject, to_json
from shared.ledger import Claimed, Ledger, Settlement
from shared.retention import Retention
from shared.times import rfc3339
from tests.aws.local_aws import KEYS, REGION
from tests.contract.kept_journal import NOW, OTHER, TELL, Kept
from tests.fakes.blobs import FakeBlobs
from tests.fakes.journal import FakeJournal
from tests.gcp.firestore_emulated import EmulatedFirestore


def an_event_entry(event_id: str = "e1") -> EventEntry:
    event = Event(event_id, "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "0" * 64, {"name": "Ada"})
    return EventEntry(event, (), NOW)


def an_attempt(event_id: str = "e1") -> AttemptEntry:
    return AttemptEntry("d" + event_id, event_id, "tell", "list", 1, NOW, NOW + 0.5, "delivered", "", "202 Accepted")


def test_entries_may_come_in_any_order_and_again(kept: Kept) -> None:
    kept.record(an_attempt())
    for _ in range(3):
        kept.letter("d1")
        kept.record(an_event_entry())
    assert kept.found() == ["e1"]
    assert [letter.id for letter in kept.view.dead_letters(9)] == ["d1"]


def test_an_event_is_known_once_it_is_recorded(kept: Kept) -> None:
    found: list[bool] = []

    async def work(journal: Journal, _: Ledger) -> None:
        found.append(await journal.has_event("e1"))
        await journal.record([an_event_entry(), an_attempt("e2")])
        found.extend([await journal.has_event("e1"), await journal.has_event("e2")])

    kept.do(work)
    assert found == [False, True, False]


def test_many_may_record_at_once(kept: Kept) -> None:
    ids = {f"e{number}" for number in range(40)}

    async def work(journal: Journal, _: Ledger) -> None:
        await asyncio.gather(*(journal.record([an_event_entry(each), an_attempt(each)]) for each in ids))

    kept.do(work)
    assert {*kept.found()} == ids


@pytest.fixture(params=["fake", "local", "firestore", "dynamo"])
async def broken(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> AsyncIterator[Journal]:
    """A journal that cannot write."""
    if request.param == "fake":
        fake = FakeJournal()
        fake.fault = "the disk is full"
        yield fake
    elif request.param == "local":
        (tmp_path / "file").write_text("a file where the folder should be")
        local = LocalJournal(tmp_path / "file" / "journal.db")
        yield local
        await local.close()
    elif request.param == "dynamo":
        nowhere = AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{free_port}")
        on_dynamo = DynamoJournal(nowhere, "test-", FakeBlobs(), Retention())
        yield on_dynamo
        on_dynamo.close()
    else:
        emulated: EmulatedFirestore = request.getfixturevalue("firestore")
        on_firestore = FirestoreJournal(emulated.elsewhere(free_port, "journal_unavailable"), FakeBlobs(), Retention())
        yield on_firestore
        on_firestore.close()


async def test_a_journal_that_cannot_write_raises_temporary(broken: Journal) -> None:
    with pytest.raises(Temporary) as error:
        await broken.record([an_event_entry()])
    assert error.value.code == "journal_unavailable"
    with pytest.raises(Temporary):
        await broken.has_event("e1")


async def test_noted_attempts_are_found_soon_and_those_that_cannot_be_written_are_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    for name in ("journal.db", "broken.db"):
        local = LocalJournal(tmp_path / name)
        local.note(an_attempt("e1"))
        local.note(an_attempt("e2"))
        await local.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert sum(bucket.delivered for bucket in reader.series(NOW + 10, 60.0, 6)) == 2
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["count"]) == ("not journaled", 2)


# What is read of it

# An event's status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("delivered", "delivered"),
        ("failed", "dead_lettered"),
        ("retry_scheduled", "retry_scheduled"),
        ("held", "held"),
        ("merged", "merged"),
    ],
)
def test_an_events_status_is_what_became_of_its_deliveries(kept: Kept, outcome: str, status: str) -> None:
    event = kept.event("e1")
    assert kept.status("e1") == "delivering"
    kept.deliver(event, outcome)
    assert kept.status("e1") == status
    assert kept.found(status=status) == ["e1"]
    assert kept.found(status="no_route") == []
    assert kept.found(status=UNFINISHED) == (["e1"] if status in UNFINISHED_STATUSES else [])
    assert kept.view.counts() == {status: 1}


def test_an_event_that_no_route_took_has_the_status_no_route(kept: Kept) -> None:
    kept.event("e1", routes=(OTHER,))
    assert kept.status("e1") == "no_route"


def test_an_event_that_a_route_took_and_ended_on_purpose_is_filtered(kept: Kept) -> None:
    kept.event("e1", routes=(OTHER, RouteDecision("tell", True, "its type matches; filtered at step 1 'filter': free")))
    assert kept.status("e1") == "filtered"
    assert kept.found(status="filtered") == ["e1"]
    assert kept.found(status="no_route") == []


def test_an_event_that_was_asked_of_no_route_is_a_duplicate(kept: Kept) -> None:
    kept.event("e1-5eed", routes=(RouteDecision("", False, "same_signed_bytes: the event e1 came first"),))
    assert kept.status("e1-5eed") == "duplicate"
    assert kept.found(status="duplicate") == ["e1-5eed"]


def test_an_event_that_was_split_is_delivered_once_every_part_is(kept: Kept) -> None:
    parts = RouteDecision("tell", True, "its type matches", ("crm",), events=2)
    kept.deliver(kept.event("e1", routes=(parts,)), "delivered")
    assert kept.status("e1") == "delivering"


def test_an_event_whose_chain_failed_has_failed(kept: Kept) -> None:
    kept.event("e1", routes=(RouteDecision("broken", True, "step 1 failed", code="step_failed"),))
    assert kept.status("e1") == "dead_lettered"


# One event


def test_an_event_is_reported_whole(kept: Kept) -> None:
    event = kept.event("e1", data={"name": "Ada"})
    kept.deliver(event, "delivered")
    kept.letter("d1")
    record = kept.view.event("e1")
    assert record
    assert (record.document, record.routes, record.passes) == (to_cloudevent(event), (TELL, OTHER), 1)
    [attempt] = record.attempts
    assert (attempt.outcome, attempt.attempt_number, attempt.ended_at - attempt.started_at) == ("delivered", 1, 0.25)
    assert [letter.id for letter in record.dead_letters] == ["d1"]
    summary = record.summary
    assert (summary.source, summary.type, summary.subject, summary.received_at) == ("web", "signup.created", "Ada", NOW)
    assert (summary.routed_at, summary.expected) == (NOW + 0.1, 1)
    assert kept.view.stored_document("e1") == to_json(to_cloudevent(event))


def test_a_second_pass_counts_and_changes_what_was_decided(kept: Kept) -> None:
    event = kept.event("e1", routes=(OTHER,))
    kept.record(EventEntry(event, (TELL,), NOW + 60))
    record = kept.view.event("e1")
    assert record
    assert (record.passes, record.routes, record.summary.routed_at) == (2, (TELL,), NOW + 60)


# A run of one route

WAITING = RouteDecision(
    "ask", True, "it takes every event; waiting: api answered 503", ("crm", "list"), is_waiting=True
)
SPLIT = RouteDecision("ask", True, "it takes every event", ("crm", "list"), events=2)


def test_a_run_of_one_route_changes_its_decision_alone(kept: Kept) -> None:
    event = kept.event("e1", routes=(TELL, WAITING, OTHER))
    for again in (1, 2):
        kept.record(EventEntry(event, (SPLIT,), NOW + again, is_partial=True))
    record = kept.view.event("e1")
    assert record
    assert record.routes == (TELL, SPLIT, OTHER)
    assert (record.passes, record.summary.expected) == (1, 1 + 2 * 2)
    assert record.document == to_cloudevent(event)


def test_the_spans_of_an_event_are_kept_and_those_of_a_run_of_one_route_are_added(kept: Kept) -> None:
    event = kept.event("e1")
    spans: tuple[JsonObject, ...] = ({"name": "process events", "ms": 12.5}, {"name": "run ask", "ms": 7.25})
    kept.record(EventEntry(event, (TELL, WAITING), NOW, others=7, spans=spans[:1]))
    kept.record(EventEntry(event, (SPLIT,), NOW + 1, is_partial=True, spans=spans[1:]))
    record = kept.view.event("e1")
    assert record
    assert (record.spans, record.routes, record.other_routes) == (spans, (TELL, SPLIT), 7)


def test_of_many_spans_the_first_are_kept_and_the_one_that_they_are_in(kept: Kept) -> None:
    spans: tuple[JsonObject, ...] = tuple({"id": str(number)} for number in range(MAX_KEPT_SPANS + 20))
    kept.record(EventEntry(kept.event("e1"), (TELL,), NOW, spans=spans))
    record = kept.view.event("e1")
    assert record
    assert record.spans == (*spans[: MAX_KEPT_SPANS - 1], spans[-1])


def test_routes_that_run_at_the_same_time_change_a_decision_each(kept: Kept) -> None:
    routes = tuple(RouteDecision(f"r{number}", True, "waiting", ("crm",), is_waiting=True) for number in range(4))
    event = kept.event("e1", routes=routes)
    ended = tuple(RouteDecision(each.route, True, "", code="step_failed") for each in routes)

    async def work(journal: Journal, _: Ledger) -> None:
        await asyncio.gather(*(journal.record([EventEntry(event, (each,), NOW, is_partial=True)]) for each in ended))

    kept.do(work)
    record = kept.view.event("e1")
    assert record
    assert (record.routes, record.summary.expected, record.summary.status) == (ended, 0, "dead_lettered")


def test_a_run_of_one_route_of_an_event_that_is_not_stored_is(kept: Kept) -> None:
    event = kept.event("e1")
    kept.record(EventEntry(replace(event, id="e2"), (SPLIT,), NOW, is_partial=True))
    record = kept.view.event("e2")
    assert record
    assert (record.routes, record.passes) == ((SPLIT,), 1)


def test_the_row_of_a_route_speaks_for_its_event_only_while_the_route_waits(kept: Kept) -> None:
    event = kept.event("e1")
    route = Delivery(event, "ask", ROUTE_ITSELF)
    kept.deliver(event, "retry_scheduled", route)
    assert kept.status("e1") == "retry_scheduled"
    kept.deliver(event, "delivered", route, NOW + 60)
    assert kept.status("e1") == "delivering"
    kept.deliver(event, "delivered")
    assert kept.status("e1") == "delivered"


def test_a_route_that_waited_in_vain_has_failed_until_a_later_run_decides_otherwise(kept: Kept) -> None:
    """As after `hookchain forget`, which keeps no dead letter, and after a replay of the whole event."""
    event = kept.event("e1", routes=(TELL, WAITING))
    route = Delivery(event, "ask", ROUTE_ITSELF)
    kept.deliver(event, "failed", route)
    assert kept.status("e1") == "dead_lettered"
    kept.record(EventEntry(event, (RouteDecision("ask", True, "filtered"),), NOW, is_partial=True))
    assert kept.status("e1") == "delivering"
    kept.deliver(event, "delivered")
    assert kept.status("e1") == "delivered"


def test_of_many_events_those_are_reported_whose_document_is_there(kept: Kept) -> None:
    kept.event("e1")
    kept.event("../e2/ü")
    assert kept.view.with_document(["e0", "../e2/ü", "e1"]) == {"e1", "../e2/ü"}
    assert kept.view.with_document([]) == frozenset()


def test_a_hostile_id_is_an_id(kept: Kept) -> None:
    odd = "../e1/ü %00"
    kept.event(odd)
    assert kept.found() == [odd]
    assert kept.view.event(odd) is not None
    assert kept.view.ids_beginning("events", "../e1", 4) == [odd]


# What changes


def test_the_version_is_another_once_somebody_has_written(kept: Kept) -> None:
    versions = [kept.view.version()]
    event = kept.event("e1")
    versions.append(kept.view.version())
    assert kept.view.version() == versions[-1]
    kept.deliver(event, "delivered")
    versions.append(kept.view.version())
    kept.letter("d1")
    versions.append(kept.view.version())
    assert len(set(versions)) == 4


def test_the_plots_count_attempts_and_how_long_they_took(kept: Kept) -> None:
    delivery = Delivery(kept.event("e1"), "tell", "crm")
    kept.deliver(delivery.event, "delivered")
    kept.deliver(kept.event("e2"), "retry_scheduled")
    asking = kept.event("e3")  # a route that waits has attempts too, and is no delivery that failed
    kept.deliver(asking, "retry_scheduled", Delivery(asking, "ask", ROUTE_ITSELF))
    late = kept.event("e4", at=NOW - 3_600, routes=())
    kept.record(EventEntry(late, (TELL,), NOW))  # a replay, which alone delivers it
    kept.deliver(late, "delivered")

    async def replay(journal: Journal, ledger: Ledger) -> None:
        assert await ledger.reopen(delivery.id, NOW + 2, "r1") is not None
        claim = await ledger.claim(delivery, b"{}", NOW + 2, 60)
        assert isinstance(claim, Claimed)
        attempt = AttemptEntry(delivery.id, "e1", "tell", "crm", 1, NOW + 5, NOW + 5.25, "delivered")
        assert await ledger.settle(claim, Settlement("delivered", NOW + 5.25, attempt=attempt))
        await journal.record([attempt])

    kept.do(replay)
    buckets = kept.view.series(NOW + 10, 60.0, 6)
    assert [bucket.delivered for bucket in buckets] == [0, 0, 0, 0, 3, 0]
    assert [bucket.not_delivered for bucket in buckets] == [0, 0, 0, 0, 1, 0]
    assert (buckets[4].p50_ms, buckets[4].p95_ms) == (1_250.0, 1_250.0)


Query: TypeAlias = dict[str, str | float | int | None]
QUERIES: Final[list[tuple[Query, list[str]]]] = [
    ({}, ["e3", "e2", "e1"]),
    ({"source": "shop"}, ["e2"]),
    ({"source": "sho"}, []),
    ({"type": "order.paid"}, ["e2"]),
    ({"type": "order.*"}, ["e2"]),
    ({"type": "order"}, []),
    ({"type": "*"}, ["e3", "e2", "e1"]),
    ({"source": "web", "type": "signup.created", "status": "delivering"}, ["e3", "e1"]),
    ({"text": "LOVE ada"}, ["e1"]),
    ({"text": "ovelace"}, []),
    ({"text": '"ada lovelace"'}, ["e1"]),
    ({"since": NOW}, ["e3", "e2"]),
    ({"until": NOW}, ["e2", "e1"]),
    ({"since": NOW - 100, "until": NOW - 100}, ["e1"]),
    ({"since": NOW + 0.001, "source": "web"}, ["e3"]),
    ({"limit": 2}, ["e3", "e2"]),
]


def test_events_are_found_newest_first(kept: Kept) -> None:
    kept.event("e1", at=NOW - 100, data={"name": "Ada Lovelace"})
    kept.event("e2", at=NOW, source="shop", type="order.paid", data={"name": "Grace Hopper"})
    kept.event("e3", at=NOW + 100)
    for query, expected in QUERIES:
        assert kept.found(**query) == expected, query


def test_pages_follow_one_another_without_a_gap_or_a_repetition(kept: Kept) -> None:
    ids = [f"e{number}" for number in range(7)]
    entries = [
        EventEntry(Event(each, "/sources/web", "t", rfc3339(NOW + (number // 3) * 0.001), "0" * 64), (OTHER,), NOW)
        for number, each in enumerate(ids)
    ]
    kept.record(*entries)
    shown: list[str] = []
    before = None
    while True:
        page = kept.view.events(EventQuery(limit=2, before=before))
        shown += [event.id for event in page.events]
        before = page.next_before
        if before is None:
            break
    assert sorted(shown) == ids


def test_the_beginning_of_an_id_finds_it(kept: Kept) -> None:
    for event_id in ("abc1", "abc2", "abd1"):
        kept.event(event_id)
    assert kept.view.ids_beginning("events", "abc", 4) == ["abc1", "abc2"]
    assert kept.view.ids_beginning("events", "abc", 1) == ["abc1"]
    assert kept.view.ids_beginning("events", "x", 4) == []
    assert kept.view.ids_beginning("dead_letters", "abc", 4) == []


def test_a_dead_letter_speaks_for_its_event_until_it_is_replayed(kept: Kept) -> None:
    kept.deliver(kept.event("e1"), "delivered")
    kept.letter("d1")
    assert kept.status("e1") == "dead_lettered"
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.status("e1") == "delivered"


def test_dead_letters_are_listed_by_state_newest_first_in_pages(kept: Kept) -> None:
    for number in range(4):
        kept.letter(f"d{number}", at=NOW + number)
    assert kept.view.mark_dead_letters(["d1", "unknown"], DROPPED) == 1
    assert [letter.id for letter in kept.view.dead_letters(10)] == ["d3", "d2", "d0"]
    assert [letter.id for letter in kept.view.dead_letters(10, state=DROPPED)] == ["d1"]
    everything = kept.view.dead_letters(2, state=None)
    assert [letter.id for letter in everything] == ["d3", "d2"]
    assert [letter.id for letter in kept.view.dead_letters(9, state=None, before=everything[-1].seq)] == ["d1", "d0"]
    assert kept.view.totals().dead_letters == 3


def test_a_dead_letter_is_reported_whole_and_marked_once(kept: Kept) -> None:
    kept.letter("d1")
    letter = kept.view.dead_letter("d1")
    assert letter
    assert (letter.message, letter.code, letter.reason, letter.at) == (
        b'{"a":1}',
        "request_rejected",
        "no such user",
        NOW,
    )
    assert (letter.topic, letter.event_id, letter.route, letter.destination) == ("deliveries", "e1", "tell", "crm")
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 0
    assert kept.view.dead_letter("other") is None


def test_one_that_fails_again_after_its_replay_is_kept_again(kept: Kept) -> None:
    kept.letter("d1")
    kept.view.mark_dead_letters(["d1"], REPLAYED)
    kept.letter("d1", at=NOW + 60)
    assert [(letter.state, letter.at) for letter in kept.view.dead_letters(10)] == [(KEPT, NOW + 60)]


def test_a_large_dead_letter_is_reported_whole(kept: Kept) -> None:
    kept.record(DeadLetter("d1", "undeliverable", "", NOW, b"x" * 2_000_000, "events", "e1"))
    letter = kept.view.dead_letter("d1")
    assert letter
    assert len(letter.message) == 2_000_000
