"""A few seeds of the simulation in each run; `python -m tests.simulation` runs as many as wanted."""

from dataclasses import replace

import pytest

from functions.notify.destination import Attempt, Destination
from shared.delivery import Delivery, Outcome, RetryLater
from shared.jsontext import Json
from shared.ledger import Claim, Claimed
from shared.ledger_rules import ATTEMPTED, new_row
from shared.ports import BusMessage
from shared.time_bound import Deadlines
from tests.simulation.bus import SimulatedBus
from tests.simulation.faults import CALM, Rates
from tests.simulation.ports import WeatheredLedger
from tests.simulation.world import simulate

EVENTS = 300
FEWER_EVENTS = 100
"""Enough to see what is done wrong each time."""


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_nothing_accepted_is_lost_and_nothing_is_done_twice_outside_the_window(seed: int) -> None:
    report = simulate(seed, EVENTS)
    assert report.accepted == EVENTS
    assert report.strikes > 50
    assert report.is_good, report


SILENT, SILENT_IN_THE_END = Rates(destination_silent=0.6), replace(CALM, destination_silent=0.6)


@pytest.mark.slow
def test_a_destination_that_often_answers_too_late_gets_few_repeats_and_late_ones() -> None:
    report = simulate(5, FEWER_EVENTS, SILENT, SILENT_IN_THE_END, gathers=False)
    assert report.verdict.explained > FEWER_EVENTS / 2
    assert report.dead_letters > FEWER_EVENTS / 10
    assert report.is_good, report


def test_it_would_see_a_worker_that_takes_no_answer_for_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call_destination(destination: Destination, delivery: Delivery, attempt: Attempt, _: Deadlines) -> Outcome:
        try:
            return await destination.attempt(delivery, attempt)
        except TimeoutError:
            return RetryLater("no answer")

    monkeypatch.setattr("functions.notify.attempt.call_destination", call_destination)
    assert simulate(5, FEWER_EVENTS, SILENT, SILENT_IN_THE_END, gathers=False).repeated


def test_the_same_seed_is_the_same_run() -> None:
    assert simulate(11, 50) == simulate(11, 50)


def test_it_would_see_a_ledger_that_lets_two_workers_have_a_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    async def claim_for_everyone(
        self: WeatheredLedger, delivery: Delivery, message: bytes, now: float, lease: float, due: int | None = None
    ) -> Claim:
        row = new_row(delivery, delivery.id, now)
        return Claimed(row._replace(state=ATTEMPTED, attempt_number=1, lease_until=now + lease), message)

    async def written(self: WeatheredLedger, *arguments: Json) -> bool:
        return True

    monkeypatch.setattr(WeatheredLedger, "claim", claim_for_everyone)
    for name in ("begin", "settle", "give_back"):
        monkeypatch.setattr(WeatheredLedger, name, written)
    assert simulate(1, FEWER_EVENTS, gathers=False).verdict.unexplained


def test_it_would_see_a_bus_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = SimulatedBus._keep

    def keep_most(self: SimulatedBus, topic: str, message: BusMessage) -> None:
        if not message.attributes["ce-id"].startswith("0"):
            keep(self, topic, message)

    monkeypatch.setattr(SimulatedBus, "_keep", keep_most)
    assert simulate(1, FEWER_EVENTS, gathers=False).verdict.lost
