"""What every reader of a journal tells of what was recorded, whichever way it finds it out."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.commands.state.cloud_journal import CloudJournal
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.pubsub import no_authorization
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.journal_rows import DROPPED, KEPT, REPLAYED, EventQuery
from shared.cloud.journal_view import JournalView
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.journal_read import JournalReader
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.retention import Retention
from shared.delivery import Delivery
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, DeadLetter, EventEntry, Journal, JournalEntry, RouteDecision
from shared.jsontext import Json, to_json
from shared.ledger import Claimed, Ledger
from shared.times import rfc3339
from tests.contract.conftest import BUCKET, EmulatedFirestore
from tests.gcp.storage_server import StorageServer

NOW = 1_790_000_000.0
TELL = RouteDecision("tell", True, "its type matches", ("crm",))
OTHER = RouteDecision("other", False, "type 'signup.created' does not match order.*")
Work = Callable[[Journal, Ledger], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Kept:
    """`do` lets the functions' ports work, over connections of their own."""

    view: JournalView
    do: Callable[[Work], None]

    def record(self, *entries: JournalEntry) -> None:
        async def work(journal: Journal, _: Ledger) -> None:
            await journal.record(entries)

        self.do(work)

    def event(
        self,
        event_id: str,
        *,
        at: float = NOW,
        source: str = "web",
        type: str = "signup.created",
        data: Json = None,
        routes: tuple[RouteDecision, ...] = (TELL, OTHER),
    ) -> Event:
        event = Event(event_id, f"/sources/{source}", type, rfc3339(at), "0" * 64, data, subject="Ada")
        self.record(EventEntry(event, routes, at + 0.1))
        return event

    def deliver(self, event: Event, outcome: str) -> None:
        """One attempt, in the ledger and in the journal as notify writes them."""
        delivery = Delivery(event, "tell", "crm")

        async def work(journal: Journal, ledger: Ledger) -> None:
            claim = await ledger.claim(delivery, b"{}", NOW, 60)
            assert isinstance(claim, Claimed)
            key, fence = delivery.id, claim.fence
            assert await ledger.attempted(key, fence, NOW)
            match outcome:
                case "delivered":
                    assert await ledger.done(key, fence, NOW, "202")
                case "refused":
                    assert await ledger.failed(key, fence, NOW, "no such user", "404")
                case "retry_later":
                    assert await ledger.retry_at(key, fence, NOW, NOW + 60, "busy there", "429")
                case "disabled":
                    assert await ledger.hold(key, fence, NOW, "verify the sender", "403")
            names = key, event.id, "tell", "crm"
            await journal.record([AttemptEntry(*names, 1, NOW + 1, NOW + 1.25, outcome, "why", "answer")])

        self.do(work)

    def letter(self, letter_id: str, event_id: str = "e1", at: float = NOW) -> None:
        self.record(
            DeadLetter(letter_id, "refused", "no such user", at, b'{"a":1}', "deliveries", event_id, "tell", "crm")
        )

    def found(self, **query: str | float | int | None) -> list[str]:
        while self.view.index():
            pass
        return [event.id for event in self.view.events(EventQuery(**query)).events]  # type: ignore[arg-type] # a test's shorthand

    def status(self, event_id: str) -> str:
        [status] = [event.status for event in self.view.events(EventQuery()).events if event.id == event_id]
        record = self.view.event(event_id)
        assert record
        assert record.summary.status == status
        return status


@pytest.fixture(params=["local", "firestore", "npm_firestore"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, storage: tuple[StorageServer, str]) -> Iterator[Kept]:
    yield from (
        _local(tmp_path) if request.param == "local" else _cloud(request.getfixturevalue(request.param), storage[1])
    )


def _local(folder: Path) -> Iterator[Kept]:
    async def run(work: Work) -> None:
        journal, ledger = LocalJournal(folder / "journal.db"), LocalLedger(folder / "ledger.db")
        await work(journal, ledger)
        await journal.close()
        await ledger.close()

    with JournalReader(folder / "journal.db") as reader:
        yield Kept(reader, lambda work: asyncio.run(run(work)))


def _cloud(firestore: EmulatedFirestore, storage_url: str) -> Iterator[Kept]:
    def blobs() -> BucketBlobs:
        return BucketBlobs(storage_url, BUCKET, no_authorization)

    async def run(work: Work) -> None:
        places = blobs()
        journal = FirestoreJournal(firestore.connect("journal"), places, Retention())
        ledger = FirestoreLedger(firestore.connect())
        await work(journal, ledger)
        for port in (journal, ledger, places):
            port.close()
        await asyncio.sleep(0)  # in which their connections are gone

    reader = CloudJournal(firestore.connect("journal"), blobs())
    try:
        yield Kept(reader, lambda work: asyncio.run(run(work)))
    finally:
        reader.close()


# An event's status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("delivered", "delivered"), ("refused", "failed"), ("retry_later", "retrying"), ("disabled", "held")],
)
def test_an_events_status_is_what_became_of_its_deliveries(kept: Kept, outcome: str, status: str) -> None:
    event = kept.event("e1")
    assert kept.status("e1") == "delivering"
    kept.deliver(event, outcome)
    assert kept.status("e1") == status
    assert kept.found(status=status) == ["e1"]
    assert kept.found(status="unmatched") == []
    assert kept.view.counts() == {status: 1}


def test_an_event_that_no_route_wanted_is_unmatched(kept: Kept) -> None:
    kept.event("e1", routes=(OTHER,))
    assert kept.status("e1") == "unmatched"


def test_an_event_that_a_route_took_and_ended_on_purpose_is_stopped(kept: Kept) -> None:
    kept.event("e1", routes=(OTHER, RouteDecision("tell", True, "its type matches; stopped at step 1 'filter': free")))
    assert kept.status("e1") == "stopped"
    assert kept.found(status="stopped") == ["e1"]
    assert kept.found(status="unmatched") == []


def test_an_event_that_was_split_is_delivered_once_every_part_is(kept: Kept) -> None:
    parts = RouteDecision("tell", True, "its type matches", ("crm",), events=2)
    kept.deliver(kept.event("e1", routes=(parts,)), "delivered")
    assert kept.status("e1") == "delivering"


def test_an_event_whose_chain_failed_has_failed(kept: Kept) -> None:
    kept.event("e1", routes=(RouteDecision("broken", True, "step 1 failed", code="step"),))
    assert kept.status("e1") == "failed"


def test_an_event_with_two_deliveries_is_delivered_once_both_are(kept: Kept) -> None:
    both = RouteDecision("tell", True, "its type matches", ("crm", "list"))
    kept.deliver(kept.event("e1", routes=(both,)), "delivered")
    assert kept.status("e1") == "delivering"


def test_a_dead_letter_speaks_for_its_event_until_it_is_replayed(kept: Kept) -> None:
    kept.deliver(kept.event("e1"), "delivered")
    kept.letter("d1")
    assert kept.status("e1") == "failed"
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.status("e1") == "delivered"


# One event


def test_an_event_is_told_whole(kept: Kept) -> None:
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


def test_an_unknown_event_is_none(kept: Kept) -> None:
    assert kept.view.event("e1") is None
    assert kept.view.stored_document("e1") is None


def test_a_hostile_id_is_an_id(kept: Kept) -> None:
    odd = "../e1/ü %00"
    kept.event(odd)
    assert kept.found() == [odd]
    assert kept.view.event(odd) is not None
    assert kept.view.ids_beginning("events", "../e1", 4) == [odd]


# Searching


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["e3", "e2", "e1"]),
        ({"source": "shop"}, ["e2"]),
        ({"source": "sho"}, []),
        ({"type": "order.paid"}, ["e2"]),
        ({"type": "order.*"}, ["e2"]),
        ({"type": "order"}, []),
        ({"type": "*"}, ["e3", "e2", "e1"]),
        ({"source": "web", "type": "signup.created", "status": "delivering"}, ["e3", "e1"]),
        ({"text": "lovelace"}, ["e1"]),
        ({"text": "LOVE ada"}, ["e1"]),
        ({"text": "ovelace"}, []),
        ({"text": '"ada lovelace"'}, ["e1"]),
        ({"text": "tab\\there"}, []),
        ({"since": NOW}, ["e3", "e2"]),
        ({"until": NOW}, ["e2", "e1"]),
        ({"since": NOW - 100, "until": NOW - 100}, ["e1"]),
        ({"since": NOW + 0.001, "source": "web"}, ["e3"]),
        ({"limit": 2}, ["e3", "e2"]),
    ],
)
def test_events_are_found_newest_first(
    kept: Kept, query: dict[str, str | float | int | None], expected: list[str]
) -> None:
    kept.event("e1", at=NOW - 100, data={"name": "Ada Lovelace"})
    kept.event("e2", at=NOW, source="shop", type="order.paid", data={"name": "Grace Hopper"})
    kept.event("e3", at=NOW + 100)
    assert kept.found(**query) == expected


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


# Dead letters


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


def test_a_dead_letter_is_told_whole_and_marked_once(kept: Kept) -> None:
    kept.letter("d1")
    letter = kept.view.dead_letter("d1")
    assert letter
    assert (letter.message, letter.code, letter.reason, letter.at) == (b'{"a":1}', "refused", "no such user", NOW)
    assert (letter.topic, letter.event_id, letter.route, letter.destination) == ("deliveries", "e1", "tell", "crm")
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 0
    assert kept.view.dead_letter("other") is None


def test_one_that_fails_again_after_its_replay_is_kept_again(kept: Kept) -> None:
    kept.letter("d1")
    kept.view.mark_dead_letters(["d1"], REPLAYED)
    kept.letter("d1", at=NOW + 60)
    assert [(letter.state, letter.at) for letter in kept.view.dead_letters(10)] == [(KEPT, NOW + 60)]


def test_a_large_dead_letter_is_told_whole(kept: Kept) -> None:
    kept.record(DeadLetter("d1", "undeliverable", "", NOW, b"x" * 2_000_000, "events", "e1"))
    letter = kept.view.dead_letter("d1")
    assert letter
    assert len(letter.message) == 2_000_000


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
    kept.deliver(kept.event("e1"), "delivered")
    kept.deliver(kept.event("e2"), "retry_later")
    buckets = kept.view.series(NOW + 10, 60.0, 6)
    assert [bucket.delivered for bucket in buckets] == [0, 0, 0, 0, 1, 0]
    assert [bucket.not_delivered for bucket in buckets] == [0, 0, 0, 0, 1, 0]
    assert buckets[4].p50_ms == 1_250.0


def test_nothing_is_told_of_an_empty_journal(kept: Kept) -> None:
    assert kept.found() == []
    assert kept.view.refused(10) == ()
    assert kept.view.dead_letters(10) == ()
    assert kept.view.counts() == {}
    assert (kept.view.totals().refused, kept.view.totals().dead_letters) == (0, 0)
    assert sum(bucket.delivered for bucket in kept.view.series(NOW, 60.0, 6)) == 0
