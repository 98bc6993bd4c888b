"""The ledger's protocol under any order of workers, crashes, late workers, duplicates and sweeps."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.journal import AttemptEntry
from shared.ledger import Busy, Claimed, Finished, Gathered, Ledger, LedgerRow, Settlement, Waiting
from shared.ledger_rules import (
    ATTEMPTED,
    DEAD_LETTERED,
    DELIVERED,
    FINAL,
    HELD,
    LEASED,
    MAX_REPLAYS,
    MERGED,
    RETRY_SCHEDULED,
    claim,
    new_row,
)
from shared.outcomes import DeliveryState
from tests.fakes.fan_out import PAID
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery

LEASE = 45.0
DELIVERIES = {f"e{number}": a_delivery(number) for number in range(2)}


@dataclass
class Worker:
    """Who was given a claim. It may be dead or slow, and write late or twice, without the ledger knowing."""

    event_id: str
    claim: Claimed
    expires_at: float
    sent: bool = False

    @property
    def key(self) -> str:
        return DELIVERIES[self.event_id].id


def attempt_of(worker: Worker, outcome: str, now: float) -> AttemptEntry:
    delivery, number = DELIVERIES[worker.event_id], worker.claim.row.attempt_number
    return AttemptEntry(worker.key, worker.event_id, delivery.route, "crm", number, now, now, outcome)


Answer = TypeVar("Answer")


class LedgerMachine(RuleBasedStateMachine):
    """`effects` counts what was sent in a generation and not refused; `windows` its attempts that nobody recorded."""

    workers = Bundle("workers")
    fences = Bundle("fences")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 1_790_000_000.0
        self.owners: dict[str, Worker] = {}
        self.effects: dict[tuple[str, int], int] = {}
        self.windows: dict[tuple[str, int], int] = {}
        self.ledger: Ledger = self.made()

    def made(self) -> Ledger:
        return FakeLedger()

    def teardown(self) -> None:
        try:
            self.every_delivery_can_be_finished()
        finally:
            self.runner.close()

    def run(self, call: Coroutine[None, None, Answer]) -> Answer:
        return self.runner.run(call)

    def row(self, event_id: str) -> LedgerRow | None:
        rows = self.run(self.ledger.rows(1, event_id=event_id))
        return rows[0] if rows else None

    # What the bus and the scheduler do

    @rule(target=workers, event_id=st.sampled_from(list(DELIVERIES)))
    def a_message_comes(self, event_id: str) -> object:
        return self.claimed(event_id, None)

    @rule(target=workers, due=fences)
    def a_message_of_the_sweep_comes(self, due: tuple[str, int]) -> object:
        return self.claimed(*due)

    def claimed(self, event_id: str, due_fence: int | None) -> object:
        before = self.row(event_id)
        answer = self.run(self.ledger.claim(DELIVERIES[event_id], b"m", self.now, LEASE, due_fence))
        if isinstance(answer, Claimed):
            assert before is None or before.state != RETRY_SCHEDULED or before.fence == due_fence, (
                "a retry without the sweep"
            )
            return self.taken(event_id, answer)
        assert before is not None
        if isinstance(answer, Busy):
            assert before.state in LEASED
        elif isinstance(answer, Waiting):
            assert before.state == RETRY_SCHEDULED
        else:
            assert isinstance(answer, Finished)
            assert before.state in FINAL | {HELD}
        return multiple()

    def taken(self, event_id: str, claim: Claimed) -> Worker:
        """The attempt of a worker may have its effect from its claim on; a suspect's, once it began."""
        self.lost(event_id, claim.row)
        worker = self.owners[event_id] = Worker(event_id, claim, self.now + LEASE)
        if claim.row.state == ATTEMPTED:
            worker.sent = True
            self.count(worker, 1)
        return worker

    def lost(self, event_id: str, row: LedgerRow) -> None:
        """Whoever had the delivery has it no more. What it sent is unknown."""
        owner = self.owners.pop(event_id, None)
        assert owner is None or self.now >= owner.expires_at, "two live owners"
        if owner and owner.sent:
            assert row.crashes, "an attempt without a record was not said to be unknown"
            generation = event_id, row.generation
            self.windows[generation] = self.windows.get(generation, 0) + 1

    @rule(event_id=st.sampled_from(list(DELIVERIES)), wait=st.sampled_from([0.0, 10.0]))
    def a_message_comes_that_is_gathered(self, event_id: str, wait: float) -> None:
        before, at = self.row(event_id), self.now + wait
        answer = self.run(self.ledger.gather(DELIVERIES[event_id], b"m", "g1", "waits", self.now, at))
        after = self.row(event_id)
        assert after is not None
        if isinstance(answer, Gathered):
            assert before is None or before.state in LEASED
            assert (after.state, after.group, after.retry_at) == (RETRY_SCHEDULED, "g1", at)
            self.lost(event_id, after)
        else:
            assert after == before

    @rule(digest=st.sampled_from(["d1", "d2"]))
    def a_sweep_closes_groups(self, digest: str) -> None:
        rows = [row for row in self.run(self.ledger.due(self.now, 10)) if row.group]
        moves = [(row.key, row.fence) for row in rows]
        assert self.run(self.ledger.merge_all(moves, self.now, digest)) == [True] * len(rows)
        assert self.run(self.ledger.merge_all(moves, self.now, "another")) == [False] * len(rows)
        for row in rows:
            merged = self.row(row.event_id)
            assert merged is not None
            assert (merged.state, merged.group, merged.message) == (MERGED, digest, b"")

    @rule(seconds=st.sampled_from([0.5, 0.6 * LEASE, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=fences)
    def a_sweep_publishes(self) -> object:
        published = []
        for row in self.run(self.ledger.due(self.now, 10)):
            assert row.retry_at is not None
            assert row.retry_at <= self.now
            fence = self.run(self.ledger.postpone(row.key, row.fence, self.now, self.now + 600))
            assert fence is not None
            published.append((row.event_id, fence))
        return multiple(*published)

    # What workers do, in time or late, once or again

    @rule(worker=workers)
    def the_attempt_of_a_suspect_begins(self, worker: Worker) -> None:
        owns = self.owners.get(worker.event_id) is worker and self.now < worker.expires_at
        began = self.run(self.ledger.begin(worker.claim, self.now))
        assert (began is not None) == owns, "only the owner begins, and within its lease"
        if began and not worker.sent:
            worker.claim = began
            worker.sent = True
            worker.expires_at = self.now + LEASE
            self.count(worker, 1)

    @rule(
        worker=workers,
        wait=st.sampled_from([0.0, 10.0]),
        outcome=st.sampled_from([None, "retry_scheduled"]),
        group=st.sampled_from(["", "g1"]),
    )
    def a_worker_is_told_to_come_later(self, worker: Worker, wait: float, outcome: str | None, group: str) -> None:
        self.settled(worker, RETRY_SCHEDULED, outcome, retry_at=self.now + wait, group=group)

    @rule(worker=workers, outcome=st.sampled_from([None, "held"]))
    def a_worker_finds_the_destination_disabled(self, worker: Worker, outcome: str | None) -> None:
        self.settled(worker, HELD, outcome)

    @rule(worker=workers)
    def a_worker_holds_what_may_have_been_accepted(self, worker: Worker) -> None:
        self.settled(worker, HELD, "unknown", needs_release=True)

    @rule(worker=workers, outcome=st.sampled_from([None, "failed"]))
    def a_worker_gives_up(self, worker: Worker, outcome: str | None) -> None:
        self.settled(worker, DEAD_LETTERED, outcome)

    @rule(worker=workers)
    def a_worker_delivers(self, worker: Worker) -> None:
        if worker.sent:
            self.settled(worker, DELIVERED, "delivered", had_effect=True)

    def settled(
        self,
        worker: Worker,
        state: DeliveryState,
        outcome: str | None,
        *,
        retry_at: float | None = None,
        group: str = "",
        had_effect: bool = False,
        needs_release: bool = False,
    ) -> None:
        before = self.row(worker.event_id)
        number = worker.claim.row.attempt_number
        attempt = attempt_of(worker, outcome, self.now) if outcome and worker.sent else None
        settlement = Settlement(state, self.now, "", attempt, retry_at, group, needs_release=needs_release)
        written = self.run(self.ledger.settle(worker.claim, settlement))
        was_owner = self.owners.get(worker.event_id) is worker
        self.ended(worker, written, state, had_effect=had_effect)
        after = self.row(worker.event_id)
        assert before is not None
        assert after is not None
        if written and was_owner:
            assert after.attempts == (*before.attempts, *([attempt] if attempt else []))
            assert after.attempt_number == number - (worker.sent and attempt is None)
        else:
            assert after == before, "a stale fence wrote"

    @rule(worker=workers)
    def a_worker_gives_back(self, worker: Worker) -> None:
        if self.run(self.ledger.give_back(worker.claim, self.now)):
            assert self.owners.pop(worker.event_id) is worker, "only the owner gives back"
            self.count(worker, -1 if worker.sent else 0)

    def ended(self, worker: Worker, written: bool, state: str, *, had_effect: bool) -> None:
        if not written:
            return
        row = self.row(worker.event_id)
        assert row is not None
        assert (row.fence, row.state) == (worker.claim.row.fence, state), "a stale fence wrote"
        if self.owners.get(worker.event_id) is worker:  # else it came twice
            del self.owners[worker.event_id]
            self.count(worker, -1 if worker.sent and not had_effect else 0)

    def count(self, worker: Worker, change: int) -> None:
        generation = worker.event_id, worker.claim.row.generation
        self.effects[generation] = self.effects.get(generation, 0) + change

    # What operators do

    @rule(event_id=st.sampled_from(list(DELIVERIES)), replay=st.sampled_from(["", "r1"]))
    def an_operator_reopens(self, event_id: str, replay: str) -> None:
        before = self.row(event_id)
        generation = self.run(self.ledger.reopen(DELIVERIES[event_id].id, self.now, replay))
        if generation is not None:
            assert before is not None
            assert before.state in FINAL
            assert generation == before.generation + 1
            assert not replay or replay not in before.replays
            after = self.row(event_id)
            assert after is not None
            delivered = before.state == DELIVERED
            assert after.undelivered_since == (generation if delivered else before.undelivered_since)

    @rule(releases_unknown=st.booleans())
    def an_operator_resumes_or_releases(self, releases_unknown: bool) -> None:
        held = [row for row in map(self.row, DELIVERIES) if row is not None and row.state == HELD]
        stays = {row.event_id for row in held if row.needs_release and not releases_unknown}
        count = self.run(self.ledger.release("crm", self.now, releases_unknown=releases_unknown))
        assert count == len(held) - len(stays)
        for row in held:
            after = self.row(row.event_id)
            assert after is not None
            assert (after.state, after.needs_release) == (
                (HELD, True) if row.event_id in stays else (RETRY_SCHEDULED, False)
            )

    # What holds at all times

    @invariant()
    def an_effect_comes_twice_only_where_the_first_was_not_recorded(self) -> None:
        for generation, count in self.effects.items():
            assert count <= 1 + self.windows.get(generation, 0)

    @invariant()
    def a_delivery_has_a_message_while_it_waits_and_a_group_while_it_waits_or_once_it_is_merged(self) -> None:
        for event_id in DELIVERIES:
            row = self.row(event_id)
            if row is not None:
                assert row.state in LEASED or (row.message != b"") == (row.state in {RETRY_SCHEDULED, HELD})
                assert (row.group != "") <= (row.state in {RETRY_SCHEDULED, MERGED})
                assert (row.group in {"d1", "d2"}) == (row.state == MERGED)

    @invariant()
    def a_delivery_with_an_owner_is_in_no_other_state(self) -> None:
        for event_id, owner in self.owners.items():
            row = self.row(event_id)
            assert row is not None
            assert row.state in LEASED
            assert row.fence == owner.claim.row.fence

    def every_delivery_can_be_finished(self) -> None:
        """Nothing is stuck: what is not final is claimed once its lease is over, or is due one day, or is released."""
        self.run(self.ledger.release("crm", self.now, releases_unknown=True))
        self.now += 10_000
        due = {row.key: row for row in self.run(self.ledger.due(self.now, 10))}
        for delivery in DELIVERIES.values():
            row = due.get(delivery.id)
            fence = self.run(self.ledger.postpone(row.key, row.fence, self.now, self.now)) if row else None
            claim = self.run(self.ledger.claim(delivery, b"m", self.now, LEASE, fence))
            if isinstance(claim, Claimed):
                begun = claim if claim.row.state == ATTEMPTED else self.run(self.ledger.begin(claim, self.now))
                assert begun is not None
                assert self.run(self.ledger.settle(begun, Settlement(DELIVERED, self.now)))
            assert isinstance(claim, Claimed | Finished)


class LocalLedgerMachine(LedgerMachine):
    def made(self) -> Ledger:
        self.folder = TemporaryDirectory()
        self.local = LocalLedger(Path(self.folder.name) / "ledger.db")
        return self.local

    def teardown(self) -> None:
        try:
            self.every_delivery_can_be_finished()
            self.run(self.local.close())
        finally:
            self.runner.close()
            self.folder.cleanup()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLocalLedgerMachine = LocalLedgerMachine.TestCase
TestLocalLedgerMachine.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)


@given(now=st.floats(0, 2e9), lease=st.floats(0, 1e4), fence=st.integers(1, 2**53), due=st.none() | st.integers(0))
def test_the_first_claim_is_the_claim_of_a_new_row(now: float, lease: float, fence: int, due: int | None) -> None:
    delivery = replace(a_delivery(1), merged=3)
    row = new_row(delivery, delivery.id, now)
    first_row = new_row(delivery, delivery.id, now, ATTEMPTED, fence, 1, lease)

    claimed = claim(
        row,
        payload_hash=delivery.event.payloadhash,
        message=b"new",
        now=now,
        lease_seconds=lease,
        due_fence=due,
        fence=fence,
    )

    assert claimed == (Claimed(first_row, b"new"), first_row)


async def test_a_delivery_that_is_sent_again_for_ever_remembers_the_newest_replays() -> None:
    ledger, delivery = FakeLedger(), Delivery(PAID, "all", "customers")
    for number in range(MAX_REPLAYS + 50):
        claim = await ledger.claim(delivery, b"{}", float(number), 60.0)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, Settlement(DELIVERED, float(number)))
        assert await ledger.reopen(delivery.id, float(number), f"replay-{number}") is not None
    (row,) = await ledger.rows(1)
    assert (len(row.replays), row.replays[-1]) == (MAX_REPLAYS, f"replay-{MAX_REPLAYS + 49}")
